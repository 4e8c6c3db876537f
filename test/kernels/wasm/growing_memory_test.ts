import * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import {expect} from 'chai';
import * as fused from '../../../src/kernels/llama/kernel_names';
import {OwLoreAdam, OwLoreCountAbove} from '../../../src/kernels/kernel_names';
import {describeWasm, randomOperand} from './compare';

/** Bytes; any view of the memory tells. */
function heapSize(): number {
  const backend = tf.backend() as BackendWasm;
  const x = tf.scalar(0);
  const {byteLength} = backend.typedArrayFromHeap(x).buffer;
  x.dispose();
  return byteLength;
}

/** What allocates the backend's memory. */
const allocator = (): {_malloc(bytes: number): number; _free(address: number): void} =>
  (tf.backend() as unknown as {wasm: ReturnType<typeof allocator>}).wasm;

/** Takes memory, which it leaves as it is, until the backend has more of it; returns what gives it back. */
function takeMemory(): () => void {
  const before = heapSize();
  const wasm = allocator();
  const taken: number[] = [];
  while (heapSize() === before) taken.push(wasm._malloc(1 << 22));
  return () => {
    for (const address of taken) wasm._free(address);
  };
}

const growMemory = (): void => takeMemory()();

/** The memory grows when a tensor finds no place in it; every view of it is detached then. */
describeWasm('a wasm memory that grows', () => {
  it('in the middle of a step changes nothing', () => {
    const step = (between: () => void): number[] =>
      tf.tidy(() => {
        const x = tf.reshape(tf.sin(tf.range(0, 30 * 20)), [30, 20]);
        const weights = tf.reshape(tf.cos(tf.range(0, 20 * 10)), [20, 10]);
        const ids = tf.tensor1d(
          Array.from({length: 30}, (_, i) => i % 7),
          'int32',
        );
        between();
        const y = tf.clone(tf.matMul(x, weights));
        between();
        const sums = tf.unsortedSegmentSum(y, ids, 7);
        between();
        return Array.from(tf.matMul(sums, weights, false, true).dataSync());
      });
    const expected = step(() => undefined);
    expect(step(growMemory)).to.deep.equal(expected);
  });

  it('for the result of a kernel holds that result', () => {
    // what others have left free would take a product of gigabytes, which leaves no room for sums
    const giveBack = takeMemory();
    try {
      let size = 1 << 20;
      let grown = false;
      while (!grown) {
        tf.tidy(() => {
          const column = tf.range(0, 1024);
          const row = tf.ones([1, size / 1024]);
          const before = heapSize();
          const product = tf.matMul(tf.reshape(column, [1024, 1]), row);
          grown = heapSize() > before;
          if (!grown) return;
          expect(tf.min(product).dataSync()[0]).to.equal(0);
          expect(tf.max(product).dataSync()[0]).to.equal(1023);
          const sums = tf.sum(product, 0).dataSync();
          expect(sums.every((sum) => sum === (1023 * 1024) / 2)).to.equal(true);
        });
        size *= 2;
      }
    } finally {
      giveBack();
    }
  });
});

interface Run {
  name: string;
  inputs: Record<string, number[]>;
  attrs?: object;
}

const kernels: Run[] = [
  {
    name: fused.OwLoreAttention,
    inputs: {x: [10, 6], q: [6, 8], k: [6, 8], v: [6, 8], cos: [5, 2], sin: [5, 2]},
    attrs: {heads: 2, keyHeads: 2},
  },
  {
    name: fused.OwLoreAttentionGrad,
    inputs: {
      ...{x: [10, 6], q: [6, 8], k: [6, 8], v: [6, 8], cos: [5, 2], sin: [5, 2]},
      ...{dy: [10, 8], y: [10, 8], queries: [10, 8], keys: [10, 8], values: [10, 8]},
    },
    attrs: {heads: 2, keyHeads: 2, withKernelGradients: true},
  },
  {
    name: fused.OwLoreDecodeBlock,
    inputs: {
      ...{x: [2, 1, 6], norm: [6], q: [6, 8], k: [6, 4], v: [6, 4], o: [8, 6]},
      ...{mlpNorm: [6], gate: [6, 10], up: [6, 10], down: [10, 6], cos: [1, 2], sin: [1, 2]},
      ...{keys: [2, 1, 3, 4], values: [2, 1, 3, 4]},
      ...{recentKeys: [2, 1, 1, 4], recentValues: [2, 1, 1, 4]},
    },
    attrs: {heads: 2, keyHeads: 1, intermediate: 10, epsilon: 1e-5},
  },
  {
    name: OwLoreAdam,
    inputs: {
      ...{variable0: [6, 4], first0: [2, 4], second0: [2, 4], gradient0: [2, 4]},
      basis0: [6, 2],
    },
    attrs: {beta1: 0.9, beta2: 0, updates: [{rate: 1, epsilon: 1, decay: 0.5, side: 'left'}]},
  },
  {
    name: OwLoreCountAbove,
    inputs: {weight: [6, 4], norm: [6]},
    attrs: {thresholds: [0.1, 0.2]},
  },
];

describeWasm(
  'a wasm memory that grows in the middle of a kernel',
  () => {
    for (const {name, inputs, attrs = {}} of kernels) {
      it(`changes nothing: ${name}`, async () => {
        await tf.setBackend('wasm');
        const run = (allocation: number): {result: number[]; grew: boolean} =>
          tf.tidy(() => {
            const tensors = Object.entries(inputs).map(([input, shape], i) => {
              const {values} = randomOperand(shape, i + 1);
              return [input, tf.tensor(values, shape)] as const;
            });
            return growingAt(allocation, () => {
              const given = Object.fromEntries(tensors);
              const results = tf.engine().runKernel(name, given, attrs as tf.NamedAttrMap);
              return [results].flat().flatMap((y) => Array.from(y.dataSync()));
            });
          });
        const {result: expected, grew} = run(Infinity);
        expect(grew).to.equal(false);
        let allocations = 0;
        for (let isReached = true; isReached;) {
          const {result, grew} = run(allocations + 1);
          expect(result, `allocation ${allocations + 1}`).to.deep.equal(expected);
          if (grew) allocations++;
          isReached = grew;
        }
        expect(allocations).to.be.above(0);
      });
    }
  },
  ['auto'],
);

/** Runs `f` while the memory grows before the given one of the backend's allocations, and says whether it has: there may be fewer. */
function growingAt<T>(allocation: number, f: () => T): {result: T; grew: boolean} {
  const wasm = allocator();
  const malloc = wasm._malloc;
  const before = heapSize();
  let left = allocation;
  wasm._malloc = (bytes) => {
    if (--left === 0) growMemory();
    return malloc(bytes);
  };
  let result: T;
  try {
    result = f();
  } finally {
    wasm._malloc = malloc;
  }
  return {result, grew: heapSize() > before};
}
