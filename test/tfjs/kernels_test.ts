import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {watchKernels} from '../../src/tfjs/kernels';

const isHooked = () => Object.hasOwn(tf.engine(), 'runKernel');

describe('watchKernels', () => {
  it('reports the kernels of the body with inputs, attributes and outputs, and no others', () => {
    tf.tidy(() => {
      const x = tf.ones([2, 3]);
      const runs: string[] = [];
      const result = watchKernels(
        () => tf.transpose(tf.square(x)),
        ({name, inputs, attributes, outputs}) => {
          tf.neg(x);
          runs.push(`${name} ${Object.keys(inputs).join()} ${JSON.stringify(attributes)}`);
          expect(outputs[0]).to.be.instanceOf(tf.Tensor);
        },
      );
      expect(result.shape).to.deep.equal([3, 2]);
      expect(runs).to.deep.equal(['Square x {}', 'Transpose x {"perm":[1,0]}']);
    });
  });

  it('takes the hook away when the body throws, or when its observer does', () => {
    const fail = () => {
      throw new Error('failed');
    };
    expect(() => watchKernels(fail, () => undefined)).to.throw('failed');
    expect(isHooked()).to.equal(false);
    expect(() => tf.tidy(() => watchKernels(() => tf.abs(tf.ones([1])), fail))).to.throw('failed');
    expect(isHooked()).to.equal(false);
  });

  it('leaves a hook of someone else as it was', () => {
    const engine = tf.engine();
    const original = engine.runKernel.bind(engine);
    const theirs: typeof engine.runKernel = (...args) => original(...args);
    engine.runKernel = theirs;
    const seen: string[] = [];
    tf.tidy(() =>
      watchKernels(
        () => tf.square(1),
        ({name}) => seen.push(name),
      ),
    );
    expect(engine.runKernel).to.equal(theirs);
    expect(seen).to.deep.equal(['Square']);
    delete (engine as Partial<typeof engine>).runKernel;
  });
});
