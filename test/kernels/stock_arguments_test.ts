import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as wasm from '../../src/kernels/wasm';
import {findKernel} from '../../src/tfjs/kernels';
import {backends, defaultBackend} from '../support/backends';
import {tensorOf, type Given} from './kernel_cases';
import {kernelSets, registeredKernels} from './kernel_sets';

/*
 * An op of tfjs takes whatever it takes with tfjs's own kernel, of each rank and dtype, also with the kernel in its place, and gives
 * the same. What a kernel is given is checked: a check that knew too little would break programs that have nothing to do with this
 * library.
 */

interface Call {
  /** Those without a dtype are given in each one. */
  inputs: Given[];
  run: (...inputs: tf.Tensor[]) => tf.Tensor;
}

const f = (...shape: number[]): Given => ({shape});
const float32 = (...shape: number[]): Given => ({shape, dtype: 'float32'});
const ids = (below: number, ...shape: number[]): Given => ({shape, dtype: 'int32', below});

/** Shapes of the operands of a product, neither of them transposed; of two or three axes. */
const products = [
  {a: [2, 3], b: [3, 4]},
  {a: [1, 3], b: [3, 1]},
  {a: [2, 3], b: [2, 3, 4]},
  {a: [2, 2, 3], b: [1, 3, 4]},
  {a: [2, 2, 3], b: [2, 3, 4]},
];
const furtherProducts = [
  {a: [20, 30], b: [30, 40]},
  {a: [0, 3], b: [3, 2]},
  {a: [2, 3, 2, 3], b: [2, 3, 3, 4]},
  {a: [2, 1, 2, 3], b: [3, 4]},
  {a: [1, 2, 3, 2, 3], b: [1, 2, 3, 3, 4]},
];

const transposes = [false, true].flatMap((transposeA) =>
  [false, true].map((transposeB) => [transposeA, transposeB] as const),
);

const operand = (shape: number[], isTransposed: boolean): Given => {
  const [rows, columns] = shape.slice(-2) as [number, number];
  return f(...shape.slice(0, -2), ...(isTransposed ? [columns, rows] : [rows, columns]));
};

/** Fused products with bias or activation. */
const fusedProducts: Call[] = products.flatMap(({a, b}) =>
  [false, true].flatMap((transposeB) => {
    const operands = [f(...a), operand(b, transposeB)];
    const [rows, columns] = [a.at(-2)!, b.at(-1)!];
    const fused =
      (options: (x?: tf.Tensor) => Partial<Parameters<typeof tf.fused.matMul>[0]>) =>
      (x: tf.Tensor, y: tf.Tensor, z?: tf.Tensor): tf.Tensor =>
        tf.fused.matMul({...{a: tf.sub(x, 0.5), b: y, transposeB}, ...options(z)});
    const ones = [[], [1], [1, 1]];
    return [
      ...[...ones, [columns], [1, columns], [rows, 1], [rows, columns]].map((bias) => ({
        inputs: [...operands, float32(...bias)],
        run: fused((bias) => ({bias: bias!})),
      })),
      ...(['linear', 'relu', 'relu6', 'elu', 'sigmoid', 'leakyrelu'] as const).map(
        (activation) => ({
          inputs: operands,
          run: fused(() => ({activation, leakyreluAlpha: 0.1})),
        }),
      ),
      ...[...ones, [columns], [1, columns]].map((alpha) => ({
        inputs: [...operands, float32(...alpha)],
        run: fused((preluActivationWeights) => ({
          activation: 'prelu',
          preluActivationWeights: preluActivationWeights!,
        })),
      })),
    ];
  }),
);

const shapes = [[], [3], [0], [2, 3], [2, 3, 2], [1, 2, 3, 2], [1, 2, 1, 2, 3], [1, 1, 2, 2, 1, 2]];

/** Of each kernel of tfjs that is replaced on some backend, calls of its op with inputs of each rank. */
const calls: Readonly<Record<string, Call[]>> = {
  [tf.BatchMatMul]: [...products, ...furtherProducts].flatMap(({a, b}) =>
    transposes.map(([transposeA, transposeB]) => ({
      inputs: [operand(a, transposeA), operand(b, transposeB)],
      run: (x, y) => tf.matMul(x, y, transposeA, transposeB),
    })),
  ),
  [tf._FusedMatMul]: fusedProducts,
  [tf.UnsortedSegmentSum]: shapes.slice(1).map((shape) => ({
    inputs: [f(...shape), ids(4, shape[0]!)],
    // Of whole numbers tfjs makes float32 on cpu alone.
    run: (x, segmentIds) =>
      tf.cast(tf.unsortedSegmentSum(x, segmentIds as tf.Tensor1D, 4), 'float32'),
  })),
  [tf.Concat]: shapes.slice(1).flatMap((shape) =>
    shape.flatMap((_, axis) =>
      [0, 1, 3].map((size) => ({
        inputs: [f(...shape), f(...shape.map((other, d) => (d === axis ? size : other)))],
        run: (...parts: tf.Tensor[]) => tf.concat(parts, axis),
      })),
    ),
  ),
  [tf.GatherV2]: [...shapes.slice(1, -1), [3, 20]].flatMap((shape) =>
    [[], [0], [2, 3]].flatMap((idShape) =>
      shape.map((size, axis) => ({
        inputs: [f(...shape), ids(size, ...idShape)],
        run: (x, indices) => tf.gather(x, indices, axis),
      })),
    ),
  ),
  [tf.Slice]: [
    {shape: [4], begin: 1, size: 2},
    {shape: [4], begin: [1], size: [2]},
    {shape: [4], begin: [1]},
    {shape: [4], begin: [4], size: [0]},
    {shape: [4, 3], begin: 1, size: -1},
    {shape: [4, 3], begin: [1], size: [2, 2]},
    {shape: [4, 3], begin: [1, 1], size: [2]},
    {shape: [4, 3], begin: [1, 0], size: [-1, 2]},
    {shape: [4, 3, 2], begin: [1, 1, 0], size: [2, 1, 2]},
    {shape: [2, 3, 2, 2], begin: [1, 1, 0, 1], size: [1, 1, 2, 1]},
    {shape: [2, 3, 2, 2, 2], begin: [1, 1, 0, 1, 0], size: [1, 1, 2, 1, 1]},
  ].map(({shape, begin, size}) => ({
    inputs: [f(...shape)],
    run: (x) => tf.slice(x, begin, size),
  })),
  [tf.SplitV]: [
    {shape: [6], parts: 3},
    {shape: [4, 6], parts: 2},
    {shape: [4, 6], parts: 3, axis: 1},
    {shape: [4, 6], parts: [1, 5], axis: -1},
    {shape: [2, 5, 3], parts: [2, -1, 1], axis: 1},
    {shape: [2, 5, 3], parts: [0, 3], axis: 2},
  ].map(({shape, parts, axis}) => ({
    inputs: [f(...shape)],
    run: (x) => tf.split(x, parts, axis).at(-1)!,
  })),
  [tf.Unpack]: [
    {shape: [3], axis: 0},
    {shape: [3, 2], axis: 0},
    {shape: [3, 2], axis: 1},
    {shape: [2, 3, 4], axis: -1},
  ].map(({shape, axis}) => ({
    inputs: [f(...shape)],
    run: (x) => tf.unstack(x, axis).at(-1)!,
  })),
  [tf.Add]: shapes.flatMap((shape) =>
    [shape, [], shape.slice(1), shape.map(() => 1)].map((other) => ({
      inputs: [f(...shape), f(...other)],
      run: (x, y) => tf.add(x, y),
    })),
  ),
  [tf.Identity]: shapes.map((shape) => ({inputs: [f(...shape)], run: (x) => tf.clone(x)})),
  [tf.Cast]: shapes.flatMap((shape) =>
    (['float32', 'int32', 'bool', 'complex64', 'string'] as const).map((dtype) => ({
      inputs: [f(...shape)],
      run: (x) => tf.cast(x, dtype),
    })),
  ),
  [tf.MaxPoolGrad]: [3, 4].map((rank) => ({
    inputs: [f(...[2, 4, 5, 3].slice(4 - rank))],
    run: (x) => tf.grad((x: tf.Tensor) => tf.maxPool(x as tf.Tensor4D, [2, 3], 2, 'same'))(x),
  })),
};

const dtypes = ['float32', 'int32', 'bool', 'string', 'complex64'] as const;

function withDtypes({inputs, run}: Call): Call[] {
  return dtypes.map((dtype) => ({inputs: inputs.map((input) => ({dtype, ...input})), run}));
}

/** What an op gives. */
interface Outcome {
  shape: number[];
  dtype: tf.DataType;
  values: Array<number | string>;
}

/** What calls give on the current backend, with the kernels that it has; an error of those that it does not take. */
async function outcomes(all: readonly Call[]): Promise<Array<Outcome | Error>> {
  const results: Array<Outcome | Error> = [];
  for (const {inputs, run} of all) {
    let result: tf.Tensor | undefined;
    try {
      result = tf.tidy(() => run(...inputs.map(tensorOf)));
      const {shape, dtype} = result;
      results.push({shape, dtype, values: Array.from<number | string>(await result.data())});
    } catch (error) {
      results.push(error as Error);
    }
    result?.dispose();
  }
  return results;
}

for (const {title, backend, kernels} of kernelSets) {
  (backends.includes(backend) ? describe : describe.skip)(`tfjs's arguments [${title}]`, () => {
    before(() => tf.setBackend(backend));
    after(async () => {
      kernels.uninstallKernels();
      if (backend === 'wasm') await wasm.installKernels(); // the tests' usual state
      await tf.setBackend(defaultBackend);
    });

    it('are taken by the kernels in the place of those of tfjs', async () => {
      const registered = await registeredKernels(backend, kernels);
      kernels.uninstallKernels();
      const replaced = registered.filter((name) => findKernel(name, backend));
      expect(Object.keys(calls)).to.include.members(replaced);
      for (const name of replaced) {
        const all = calls[name]!.flatMap(withDtypes);
        const stock = await outcomes(all);
        await kernels.installKernels();
        const ours = await outcomes(all);
        kernels.uninstallKernels();
        const taken = all.map((call, i) => ({call, stock: stock[i]!, given: ours[i]!}));
        expect(
          taken.some(({stock}) => !(stock instanceof Error)),
          name,
        ).to.equal(true);
        const others = taken.filter(
          ({stock, given}) => !(stock instanceof Error) && !isSame(given, stock),
        );
        // Where tfjs's own kernel is wrong, the one of cpu is right.
        await tf.setBackend('cpu');
        const onCpu = await outcomes(others.map(({call}) => call));
        await tf.setBackend(backend);
        others.forEach(({call: {inputs, run}, stock, given}, i) => {
          const what = `${name} ${JSON.stringify(inputs)} ${String(run)}`;
          if (given instanceof Error) throw new Error(`${what}: ${given.message}`);
          const found = JSON.stringify([given, stock, onCpu[i]]);
          expect(isSame(given, onCpu[i]!), `${what}, stock, on cpu: ${found}`).to.equal(true);
        });
      }
    });
  });
}

/** Up to roundings of sums of 30 products of numbers up to 1.1. */
function isSame(a: Outcome | Error, b: Outcome | Error): boolean {
  if (a instanceof Error || b instanceof Error || a.dtype !== b.dtype) return false;
  return (
    tf.util.arraysEqual(a.shape, b.shape) &&
    a.values.length === b.values.length &&
    a.values.every((x, i) => {
      const y = b.values[i]!;
      return x === y || Math.abs(Number(x) - Number(y)) < 1e-4;
    })
  );
}
