/** Products with matrices that are packed: the same bits as with these matrices widened first. */
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {toBfloat16} from '../../../src/files/half_precision';
import {contracts} from '../../../src/kernels/contracts';
import {KernelArguments} from '../../../src/kernels/kernel_arguments';
import {OwLoreUnpackBfloat16} from '../../../src/kernels/kernel_names';
import {OwLoreDecodeBlock, OwLorePackedMatMul} from '../../../src/kernels/llama/kernel_names';
import {runKernel} from '../../../src/kernels/run_kernel';
import {fuzz} from '../../support/fuzz';
import {held} from '../../support/sentinels';
import {kernelCases} from '../kernel_cases';
import {describeWasm, randomOperand, seeds} from './compare';

const [heads, keyHeads, width] = [4, 2, 8];

/** A matrix of bfloat16, packed. */
function packedMatrix(rows: number, columns: number, seed: number): tf.Tensor1D {
  const halves = toBfloat16(randomOperand([rows, columns], seed).values as Float32Array);
  const words = new Int32Array(Math.ceil(halves.length / 2));
  new Uint16Array(words.buffer).set(halves);
  return tf.tensor1d(words, 'int32');
}

const random = (shape: number[], seed: number): tf.Tensor =>
  tf.tensor(randomOperand(shape, seed).values, shape);

const widened = (packed: tf.Tensor, shape: readonly number[]): tf.Tensor2D =>
  runKernel(OwLoreUnpackBfloat16, {packed}, {shape})![0] as tf.Tensor2D;

/** Where two tensors differ in a bit; −1 if nowhere. */
function difference(actual: tf.Tensor, expected: tf.Tensor): number {
  expect(actual.shape).to.deep.equal(expected.shape);
  const [a, b] = [actual, expected].map((x) => x.dataSync());
  return a!.findIndex((value, i) => !Object.is(value, b![i]));
}

/** Sizes below, at and above those of tiles, and of the places from which a matrix is read. */
const sizes = fc.oneof(fc.integer({min: 0, max: 40}), fc.constantFrom(64, 100, 257, 576));

describeWasm('packed products on wasm', testPackedProducts, ['auto']);

function testPackedProducts(): void {
  it('are those of the widened matrix to the last bit, for up to eight rows', () =>
    fc.assert(
      fc.property(
        fc.integer({min: 0, max: 8}),
        ...([sizes, sizes, fc.boolean(), seeds] as const),
        (rows, inner, columns, transposed, seed) => {
          const before = held();
          tf.tidy(() => {
            const shape: [number, number] = transposed ? [columns, inner] : [inner, columns];
            const packed = packedMatrix(...shape, seed);
            const x = random([rows, inner], seed + 1) as tf.Tensor2D;
            const [y] = runKernel(OwLorePackedMatMul, {x, packed}, {shape, transposed})!;
            const expected = tf.matMul(x, widened(packed, shape), false, transposed);
            expect(difference(y!, expected)).to.equal(-1);
          });
          expect(held()).to.deep.equal(before);
        },
      ),
      fuzz(150),
    ));

  it('of more rows are those of eight at a time', () => {
    tf.tidy(() => {
      for (const transposed of [false, true]) {
        const shape: [number, number] = transposed ? [70, 90] : [90, 70];
        const packed = packedMatrix(...shape, 1);
        const x = random([27, 90], 2) as tf.Tensor2D;
        const attrs = {shape, transposed};
        const [y] = runKernel(OwLorePackedMatMul, {x, packed}, attrs)!;
        const parts = [0, 8, 16, 24].map((from) => {
          const rows = tf.slice(x, [from, 0], [Math.min(8, 27 - from), 90]);
          return runKernel(OwLorePackedMatMul, {x: rows, packed}, attrs)![0] as tf.Tensor2D;
        });
        expect(difference(y!, tf.concat(parts, 0))).to.equal(-1);
      }
    });
  });

  it('in a block for the next position change no bit of it, whichever of its weights are packed', () =>
    fc.assert(
      fc.property(
        fc.constantFrom(1, 2, 5, 8),
        fc.constantFrom(5, 16, 75),
        fc.constantFrom(1, 6, 97),
        fc.integer({min: 1, max: 127}),
        seeds,
        (rows, hidden, intermediate, which, seed) => {
          const before = held();
          const shapes = {
            ...{q: [hidden, heads * width], k: [hidden, keyHeads * width]},
            ...{v: [hidden, keyHeads * width], o: [heads * width, hidden]},
            ...{gate: [hidden, intermediate], up: [hidden, intermediate]},
            down: [intermediate, hidden],
          } as unknown as Record<string, [number, number]>;
          tf.tidy(() => {
            const others = {
              x: random([rows, 1, hidden], seed),
              ...{norm: random([hidden], seed + 1), mlpNorm: random([hidden], seed + 2)},
              ...{cos: random([1, width / 2], seed + 3), sin: random([1, width / 2], seed + 4)},
              keys: random([rows, keyHeads, 3, width], seed + 5),
              values: random([rows, keyHeads, 3, width], seed + 6),
              recentKeys: random([rows, keyHeads, 2, width], seed + 7),
              recentValues: random([rows, keyHeads, 2, width], seed + 8),
            };
            const packed: tf.NamedTensorMap = {};
            const floats: tf.NamedTensorMap = {};
            Object.entries(shapes).forEach(([name, shape], i) => {
              const weight = packedMatrix(...shape, seed + 10 + i);
              floats[name] = widened(weight, shape);
              packed[name] = which & (1 << i) ? weight : floats[name];
            });
            const attrs = {heads, keyHeads, intermediate, epsilon: 1e-5};
            const expected = runKernel(OwLoreDecodeBlock, {...others, ...floats}, attrs)!;
            const actual = runKernel(OwLoreDecodeBlock, {...others, ...packed}, attrs)!;
            expect(actual.map((y, i) => difference(y, expected[i]!))).to.deep.equal([-1, -1, -1]);
          });
          expect(held()).to.deep.equal(before);
        },
      ),
      fuzz(40),
    ));

  it('refuse a packed matrix of another size before they read it', () => {
    tf.tidy(() => {
      const x = random([2, 6], 1);
      const attrs = {shape: [6, 5], transposed: false};
      for (const [packed, message] of [
        [
          tf.zeros([14], 'int32'),
          "input 'packed' must have the shape [15]; got int32 [14]",
        ] as const,
        [tf.zeros([6, 5]), "input 'packed' must be int32; got float32 [6,5]"] as const,
      ]) {
        expect(() => runKernel(OwLorePackedMatMul, {x, packed}, attrs)).to.throw(
          `OwLorePackedMatMul on wasm: ${message}`,
        );
      }
      const wrong = {shape: [5, 6], transposed: false};
      const packed = tf.zeros([15], 'int32');
      expect(() => runKernel(OwLorePackedMatMul, {x, packed}, wrong)).to.throw(
        "OwLorePackedMatMul on wasm: input 'x' must have the shape [any,5]; got float32 [2,6]",
      );
    });
  });

  it('of a block refuse a packed weight of another size, and on other backends any', () => {
    const {inputs, attrs} = kernelCases('wasm')[OwLoreDecodeBlock]!;
    const check = (backend: string, words: number): void => {
      const given = Object.entries(inputs).map(([name, {shape, dtype = 'float32'}]) => [
        name,
        {dataId: {}, shape, dtype},
      ]);
      const named = Object.fromEntries(given) as tf.NamedTensorInfoMap;
      named['down'] = {dataId: {}, shape: [words], dtype: 'int32'};
      contracts[OwLoreDecodeBlock]!(new KernelArguments(OwLoreDecodeBlock, backend, named, attrs));
    };
    check('wasm', 15);
    expect(() => check('wasm', 14)).to.throw(
      "OwLoreDecodeBlock on wasm: input 'down' must have the shape [15]; got int32 [14]",
    );
    expect(() => check('tensorflow', 15)).to.throw(
      "OwLoreDecodeBlock on tensorflow: input 'down' must be float32; got int32 [15]",
    );
  });
}
