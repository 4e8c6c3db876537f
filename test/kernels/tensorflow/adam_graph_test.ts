import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {OwLoreAdam} from '../../../src/kernels/kernel_names';
import {replaceKernels} from '../../../src/kernels/replacement';
import {runKernel} from '../../../src/kernels/run_kernel';
import {createAdam} from '../../../src/kernels/tensorflow/adam';
import {KernelGraphs} from '../../../src/kernels/tensorflow/graphs';
import {backends, defaultBackend} from '../../support/backends';
import {numbered} from '../run_adam';

const isThere = backends.includes('tensorflow');

(isThere ? describe : describe.skip)('OwLoreAdam as a graph [tensorflow]', () => {
  before(() => tf.setBackend('tensorflow'));
  after(() => tf.setBackend(defaultBackend));

  const random = (shape: number[], seed: number): tf.Tensor =>
    tf.randomNormal(shape, 0, 1, 'float32', seed);

  /** The results of calls with these numbers for each of the two matrices; from the second call on as a graph, if there are any. */
  function results(runsBefore: number, calls: ReadonlyArray<readonly number[]>): number[][][] {
    const graphs = new KernelGraphs(runsBefore);
    const putBack = replaceKernels('tensorflow', {[OwLoreAdam]: () => createAdam(graphs)});
    try {
      return calls.map((numbers) =>
        tf.tidy(() => {
          const inputs = [0, 1].map((i) => {
            const [variable, basis] = [random([8, 6], 10 * i + 1), random([8, 2], 10 * i + 2)];
            const [first, gradient] = [random([2, 6], 10 * i + 3), random([2, 6], 10 * i + 4)];
            return numbered({variable, first, second: tf.ones([2, 6]), gradient, basis}, i);
          });
          const updates = numbers.map((rate) => ({
            ...{rate, epsilon: rate / 8, decay: 1 - rate / 2, side: 'left' as const},
          }));
          const given = Object.assign({}, ...inputs) as Record<string, tf.Tensor>;
          const attrs = {beta1: 0.9, beta2: 0.999, updates};
          return runKernel(OwLoreAdam, given, attrs)!.map((x) => Array.from(x.dataSync()));
        }),
      );
    } finally {
      putBack();
      graphs.dispose();
    }
  }

  it('takes rate, epsilon and decay of each matrix, although those of all were equal when it was recorded', () => {
    const calls = [
      [0.25, 0.25],
      [0.25, 0.5],
      [0.125, 0.75],
    ] as const;
    const opByOp = results(Infinity, calls);
    results(1, calls).forEach((call, c) =>
      call.forEach((values, i) =>
        // One rounding of numbers up to about 4.
        values.forEach((x, j) =>
          expect(x, `call ${c}, result ${i}`).to.be.closeTo(opByOp[c]![i]![j]!, 1e-6),
        ),
      ),
    );
  });
});
