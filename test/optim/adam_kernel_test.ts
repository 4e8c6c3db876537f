import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {OwLoreAdamTogether} from '../../src/kernels/kernel_names';
import {installKernels} from '../../src/kernels/tensorflow';
import {moveAtOnce} from '../../src/optim/adam_kernel';
import {planProjection} from '../../src/optim/projector';
import {backends, defaultBackend} from '../support/backends';

const isThere = backends.includes('tensorflow');

(isThere ? describe : describe.skip)('moveAtOnce on tensorflow', () => {
  before(async () => {
    await tf.setBackend('tensorflow');
    await installKernels();
  });
  after(() => tf.setBackend(defaultBackend));

  /** How many variables of a size are moved by each call of the kernel. */
  function together(sizes: ReadonlyArray<[number, number]>): number[] {
    const calls: number[] = [];
    const engine = tf.engine();
    const runKernel = engine.runKernel.bind(engine);
    engine.runKernel = (name, inputs, attrs) => {
      if (name === OwLoreAdamTogether)
        calls.push((attrs as {updates: []} | undefined)!.updates.length);
      return runKernel<never>(name, inputs, attrs);
    };
    const {numTensors} = tf.memory();
    try {
      const ready = sizes.map((shape) => {
        const projection = planProjection(shape, 2, 'right')!;
        const inSubspace = (): tf.Tensor => tf.zeros([shape[0], 2]);
        return {
          variable: tf.tidy(() => tf.variable(tf.zeros(shape))),
          gradient: inSubspace(),
          moments: {first: inSubspace(), second: inSubspace()},
          subspace: {projection, basis: tf.zeros<tf.Rank.R2>([shape[1], 2])},
          size: {rate: 0.1, epsilon: 1e-8},
          decay: 1,
        };
      });
      const rule = {beta1: 0.9, beta2: 0.999, epsilon: 1e-8};
      const step = {learningRate: 0.1, clip: null, mask: null, onRefresh: () => undefined};
      expect(moveAtOnce(ready, rule, step)).to.deep.equal([]);
      for (const {variable, moments, subspace} of ready) {
        tf.dispose([variable, moments.first, moments.second, subspace.basis]);
      }
    } finally {
      Reflect.deleteProperty(engine, 'runKernel'); // its class's method again
    }
    expect(tf.memory().numTensors).to.equal(numTensors);
    return calls;
  }

  it('moves small variables together, and large ones one after the other', () => {
    expect(together([[64, 32], [32, 64], [8, 8]])).to.deep.equal([3]); // prettier-ignore
    expect(together([[1024, 600], [600, 1024], [2048, 1024], [8, 8]])).to.deep.equal([1, 1, 1, 1]); // prettier-ignore
    expect(together([[1024, 512], [512, 1024], [8, 8]])).to.deep.equal([2, 1]); // prettier-ignore
  });
});
