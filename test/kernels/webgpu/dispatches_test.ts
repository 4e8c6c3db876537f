import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {
  OwLoreMoments,
  OwLoreOrthonormalize,
  OwLoreProjectedStep,
  OwLoreStep,
} from '../../../src/kernels/kernel_names';
import {adamStep, movingAverage} from '../../../src/optim/adam';
import {orthonormalize} from '../../../src/optim/orthonormalize';
import {countDispatches, describeWebgpu, runKernel, type Tensors} from './compare';

const beta = {beta1: 0.9, beta2: 0.999};
const rule = {rate: 1e-3, epsilon: 1e-8, decay: 0.99};

describeWebgpu('dispatches of an update [webgpu]', () => {
  /** Tensors as they are in a training: with a mask and a clip factor, all on the device. */
  function inputs(): Tensors {
    return {
      variable: tf.randomNormal([96, 64]),
      gradient: tf.randomNormal([96, 64]),
      basis: tf.randomNormal([96, 16]),
      first: tf.zeros([16, 64]),
      second: tf.zeros([16, 64]),
      clip: tf.scalar(0.5),
      mask: tf.scalar(true, 'bool'),
    };
  }

  before(() => tf.env().set('WEBGPU_CPU_FORWARD', false));
  after(() => tf.env().set('WEBGPU_CPU_FORWARD', true));

  const project = ({basis, gradient}: Tensors): tf.Tensor =>
    tf.matMul(basis as tf.Tensor2D, gradient as tf.Tensor2D, true);

  function composed(tensors: Tensors): tf.Tensor {
    const {first, second, variable, basis, mask, clip} = tensors as Record<string, tf.Tensor2D>;
    const allowed = (next: tf.Tensor, old: tf.Tensor): tf.Tensor => tf.where(mask!, next, old);
    const g = tf.mul(project(tensors), clip!);
    const moments = {
      first: allowed(movingAverage(first!, g, beta.beta1), first!),
      second: allowed(movingAverage(second!, tf.square(g), beta.beta2), second!),
    };
    const change = adamStep(moments, 1, rule.rate, {...beta, epsilon: rule.epsilon});
    const decayed = tf.mul(variable!, allowed(tf.scalar(rule.decay), tf.scalar(1)));
    const next = tf.sub(decayed, tf.matMul(basis!, change as tf.Tensor2D));
    return allowed(next, variable!);
  }

  function withKernels(tensors: Tensors): tf.Tensor {
    const {first, second, variable, basis, mask, clip} = tensors as Record<string, tf.Tensor2D>;
    const gradient = project(tensors);
    const old = {first: first!, second: second!, gradient, clip: clip!, mask: mask!};
    const [newFirst, newSecond] = runKernel(OwLoreMoments, old, beta);
    const step = {variable: variable!, basis: basis!, first: newFirst!, second: newSecond!};
    return runKernel(OwLoreProjectedStep, {...step, mask: mask!}, {...rule, side: 'left'})[0]!;
  }

  it('are 4 for a projected matrix, where the composed ops need more than 20', () => {
    tf.tidy(() => {
      const tensors = inputs();
      expect(countDispatches(() => withKernels(tensors))).to.equal(4);
      expect(countDispatches(() => composed(tensors))).to.be.above(20);
    });
  });

  it('are 3 for any other variable', () => {
    tf.tidy(() => {
      const {variable, gradient} = inputs() as {variable: tf.Tensor; gradient: tf.Tensor};
      const zeros = tf.zerosLike(variable);
      const count = countDispatches(() => {
        const old = {first: zeros, second: zeros, gradient};
        const [first, second] = runKernel(OwLoreMoments, old, beta);
        runKernel(OwLoreStep, {variable, first: first!, second: second!}, rule);
      });
      expect(count).to.equal(3);
    });
  });

  it('are 13 for the orthonormalisation of a basis, where the composed ops need hundreds', () => {
    tf.tidy(() => {
      const matrix = tf.randomNormal<tf.Rank.R2>([64, 16]);
      expect(countDispatches(() => runKernel(OwLoreOrthonormalize, {matrix}))).to.equal(13);
      expect(countDispatches(() => orthonormalize(matrix))).to.be.above(300);
    });
  });

  it('read nothing back', () => {
    const backend = tf.backend();
    const {read, readSync} = backend;
    const fail = (): never => {
      throw new Error('read back');
    };
    Object.assign(backend, {read: fail, readSync: fail});
    try {
      tf.tidy(() => {
        withKernels(inputs());
        runKernel(OwLoreOrthonormalize, {matrix: tf.randomNormal([40, 9])});
      });
    } finally {
      Object.assign(backend, {read, readSync});
    }
  });
});
