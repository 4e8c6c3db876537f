import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {OwLoreAdam} from '../../../src/kernels/kernel_names';
import {replaceKernels} from '../../../src/kernels/replacement';
import {runKernel} from '../../../src/kernels/run_kernel';
import {createAdam} from '../../../src/kernels/tensorflow/adam';
import {KernelGraphs} from '../../../src/kernels/tensorflow/graphs';
import type {NodeBackend} from '../../../src/kernels/tensorflow/native_ops';
import {backends, defaultBackend} from '../../support/backends';
import {numbered} from '../run_adam';
import {watchCalls} from './watch_calls';

const isThere = backends.includes('tensorflow');

(isThere ? describe : describe.skip)('OwLoreAdam as a graph [tensorflow]', () => {
  before(() => tf.setBackend('tensorflow'));
  after(() => tf.setBackend(defaultBackend));

  const random = (shape: number[], seed: number): tf.Tensor =>
    tf.randomNormal(shape, 0, 1, 'float32', seed);

  const inputsOf = (
    i: number,
  ): Record<'variable' | 'basis' | 'first' | 'second' | 'gradient', tf.Tensor> => ({
    ...{variable: random([8, 6], 10 * i + 1), basis: random([8, 2], 10 * i + 2)},
    ...{first: random([2, 6], 10 * i + 3), second: tf.ones([2, 6])},
    gradient: random([2, 6], 10 * i + 4),
  });
  const numbersOf = (rate: number): {rate: number; epsilon: number; decay: number} => ({
    ...{rate, epsilon: rate / 8, decay: 1 - rate / 2},
  });

  /** The results of calls with these numbers, one for each matrix; from the second call on as a graph, if there are any. */
  function results(runsBefore: number, calls: ReadonlyArray<readonly number[]>): number[][][] {
    const graphs = new KernelGraphs(runsBefore);
    const putBack = replaceKernels('tensorflow', {[OwLoreAdam]: () => createAdam(graphs)});
    const {take, stop} = watchCalls();
    try {
      return calls.map((numbers, call) =>
        tf.tidy(() => {
          const inputs = numbers.map((_, i) => numbered(inputsOf(i), i));
          const updates = numbers.map((rate) => ({...numbersOf(rate), side: 'left' as const}));
          const given = Object.assign({}, ...inputs) as Record<string, tf.Tensor>;
          const attrs = {beta1: 0.9, beta2: 0.999, updates};
          const moved = runKernel(OwLoreAdam, given, attrs)!;
          expect(take().graphs, `graphs run in call ${call}`).to.equal(call < runsBefore ? 0 : 1);
          return moved.map((x) => Array.from(x.dataSync()));
        }),
      );
    } finally {
      stop();
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

  it('updates more matrices in a call than scalars are kept, each with numbers of its own, and leaks none', () => {
    const rates = Array.from({length: 40}, (_, i) => 0.1 + i / 64);
    results(Infinity, [rates.slice(0, 1)]); // from now on the scalars of β are kept
    let moved: number[][] = [];
    expect(tensorsLeftBy(() => ([moved = []] = results(Infinity, [rates])))).to.equal(0);
    rates.forEach((rate, i) =>
      tf.tidy(() => {
        const {variable, basis, first, gradient} = inputsOf(i);
        const {epsilon, decay} = numbersOf(rate);
        const m = tf.add(tf.mul(first, 0.9), tf.mul(gradient, 0.1));
        const v = tf.add(0.999, tf.mul(tf.square(gradient), 0.001));
        const step = tf.div(tf.mul(m, rate), tf.add(tf.sqrt(v), epsilon));
        const expected = tf.sub(tf.mul(variable, decay), tf.matMul(basis, step)).dataSync();
        // Roundings of numbers up to about 8.
        moved[3 * i]!.forEach((x, j) => expect(x, `matrix ${i}`).to.be.closeTo(expected[j]!, 2e-6));
      }),
    );
  });
});

/** How many more of TensorFlow's tensors there are after `body` than before. */
function tensorsLeftBy(body: () => void): number {
  const backend = tf.backend() as unknown as NodeBackend; // the backend's own, of which tfjs shows a part
  const {binding} = backend;
  let count = 0;
  const counting: Partial<NodeBackend['binding']> = {
    createTensor(...args) {
      count++;
      return binding.createTensor(...args);
    },
    executeOp(...args) {
      const results = binding.executeOp(...args);
      count += results.length;
      return results;
    },
    deleteTensor(id) {
      count--;
      binding.deleteTensor(id);
    },
  };
  const properties = Object.entries(counting).map(([name, value]) => [name, {value}] as const);
  backend.binding = Object.create(binding, Object.fromEntries(properties)) as typeof binding;
  try {
    body();
  } finally {
    backend.binding = binding;
  }
  return count;
}
