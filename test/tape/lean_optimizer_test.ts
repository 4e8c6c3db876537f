import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {createLlama, sparseCrossEntropy} from '../../src/llama';
import {installKernels, uninstallKernels} from '../../src/kernels/cpu';
import {OwLoreAdam} from '../../src/kernels/kernel_names';
import {hasKernel} from '../../src/kernels/run_kernel';
import {leanOptimizer} from '../../src/tape/lean_optimizer';
import {describeBackends} from '../support/backends';
import {rejection} from '../support/rejection';

describeBackends('leanOptimizer', (backend) => {
  if (backend === 'webgpu') return; // what it adds to the tape does not depend on the backend
  it('trains as the optimizer does by itself', async () => {
    const losses: number[][] = [];
    for (const optimizer of [tf.train.adam(0.01), leanOptimizer(tf.train.adam(0.01))]) {
      const model = createLlama({
        vocabSize: 12,
        hiddenSize: 8,
        intermediateSize: 12,
        numHiddenLayers: 2,
        numAttentionHeads: 2,
        seed: 3,
      });
      model.compile({optimizer, loss: sparseCrossEntropy});
      const ids = tf.tidy(() => tf.cast(tf.reshape(tf.range(0, 12), [2, 6]), 'int32'));
      const labels = tf.expandDims(ids, 2);
      const run: number[] = [];
      for (let i = 0; i < 5; i++) run.push((await model.trainOnBatch(ids, labels)) as number);
      losses.push(run);
      tf.dispose([ids, labels]);
      model.dispose();
      optimizer.dispose();
    }
    const [stock, lean] = losses as [number[], number[]];
    expect(stock.at(-1)!).to.be.below(stock[0]!);
    // Sums of gradients are added in another order: float32 rounding, five steps of Adam.
    lean.forEach((loss, i) => expect(loss).to.be.closeTo(stock[i]!, 1e-5 * stock[i]!));
  });

  it('is ready when the optimizer itself is, too', async () => {
    const ready = (): Promise<void> => Promise.reject(new Error('not this one'));
    const optimizer = leanOptimizer(Object.assign(tf.train.sgd(1), {ready}));
    expect((await rejection(optimizer.ready())).message).to.equal('not this one');
    optimizer.dispose();
    // or has no such method
    await leanOptimizer(tf.train.sgd(1)).ready();
  });

  if (backend !== 'cpu') return; // whose kernels are there at once
  it('brings the kernels of the backend, unless it is not to', async () => {
    const x = tf.variable(tf.scalar(1), true, 'lean/x');
    const step = (optimizer: tf.Optimizer): void =>
      void optimizer.minimize(() => tf.square(x), false, [x]);
    try {
      for (const kernels of ['none', 'auto'] as const) {
        const areThere = kernels === 'auto';
        const expectKernels = (when: string): void => {
          expect(hasKernel(OwLoreAdam), `${kernels}, ${when}`).to.equal(areThere);
          uninstallKernels();
        };
        uninstallKernels();
        const optimizer = leanOptimizer(tf.train.sgd(1), {kernels});
        expectKernels('made');
        await optimizer.ready();
        expectKernels('ready');
        step(optimizer);
        expectKernels('in a step');
      }
    } finally {
      await installKernels();
      x.dispose();
    }
  });
});

describe('leanOptimizer', () => {
  it('takes an optimizer of tfjs, and no other thing', () => {
    for (const other of ['adam', null, undefined, 3, {}, {minimize: 1}, () => undefined]) {
      expect(() => leanOptimizer(other as never), typeof other).to.throw(
        'leanOptimizer: optimizer must be an optimizer of tfjs, such as tf.train.adam(1e-3); got ',
      );
    }
  });
});
