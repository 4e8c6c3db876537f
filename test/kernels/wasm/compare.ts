import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import * as cpu from '../../../src/kernels/cpu';
import {installKernels, uninstallKernels} from '../../../src/kernels/wasm';
import {backends, defaultBackend} from '../../support/backends';

/**
 * A `describe` with the kernels installed, once with the SIMD module and once with the composed
 * kernels, or in one of the `modes` only; skipped where wasm, or cpu to compare with, is not to be tested.
 */
export function describeWasm(
  title: string,
  body: (simd: 'auto' | 'none') => void,
  modes: ReadonlyArray<'auto' | 'none'> = ['auto', 'none'],
): void {
  const available = backends.includes('wasm') && backends.includes('cpu');
  for (const simd of modes) {
    const name = simd === 'auto' ? title : `${title}, composed`;
    (available ? describe : describe.skip)(name, () => {
      before(async () => {
        cpu.uninstallKernels(); // what the kernels are compared with is tfjs's own
        await tf.setBackend('wasm');
        uninstallKernels();
        await installKernels({simd});
      });
      after(async () => {
        uninstallKernels();
        await installKernels(); // the tests' usual state
        await tf.setBackend(defaultBackend);
      });
      body(simd);
    });
  }
}

/** Plain values, so that the same operands can be made on either backend. */
export interface Operand {
  shape: number[];
  values: Float32Array | Int32Array;
}

/** Values in [-1, 1) of the given shape, from a seed. */
export function randomOperand(shape: number[], seed: number): Operand {
  let state = seed;
  const values = Float32Array.from({length: tf.util.sizeFromShape(shape)}, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state / 2 ** 31;
  });
  return {shape, values};
}

/** Values in [-scale, scale). */
export function scaled(shape: number[], seed: number, scale: number): Operand {
  const {values} = randomOperand(shape, seed);
  return {shape, values: Float32Array.from(values, (x) => x * scale)};
}

/** With `value`, if there is one, in some place. */
export function spoiled(operand: Operand, value: number | null, seed: number): Operand {
  if (value !== null && operand.values.length > 0) {
    operand.values[seed % operand.values.length] = value;
  }
  return operand;
}

export const seeds = fc.integer({min: 1, max: 1e9});

export type Tensors = tf.Tensor[];

/** Runs a kernel. */
export type Run = (name: string, inputs: tf.NamedTensorMap, attrs: object) => Tensors;

/** The gradients of `f` by all its inputs, at `[dy, ...inputs]`. */
export const gradients =
  (f: (...inputs: Tensors) => tf.Tensor) =>
  (...[dy, ...inputs]: Tensors): Tensors =>
    tf.grads(f)(inputs, dy);

const toTensor = ({shape, values}: Operand): tf.Tensor =>
  tf.tensor(values.slice(), shape, values instanceof Float32Array ? 'float32' : 'int32');

async function run(
  backend: 'cpu' | 'wasm' | 'tensorflow',
  operands: readonly Operand[],
  f: (...inputs: tf.Tensor[]) => tf.Tensor[],
): Promise<Operand[]> {
  await tf.setBackend(backend);
  const before = {...tf.memory(), dataIds: tf.engine().backend.numDataIds()};
  const results = tf.tidy(() =>
    f(...operands.map(toTensor)).map((out) => ({
      shape: out.shape,
      values: out.dataSync() as Float32Array,
    })),
  );
  expect(tf.memory().numTensors).to.equal(before.numTensors);
  expect(tf.engine().backend.numDataIds(), 'data ids of the backend').to.equal(before.dataIds);
  return results;
}

/** Whether a value is right to within a tolerance. One that is not finite must be the very same, whatever the tolerance. */
function isClose(value: number, right: number, tolerance: number): boolean {
  if (Object.is(value, right)) return true;
  return [value, right, tolerance].every(Number.isFinite) && Math.abs(value - right) <= tolerance;
}

/**
 * Runs `f` on the wasm and on the cpu backend; shapes must agree, finite values to `atol`, and nothing
 * may be left behind. The cpu backend adds in double precision: a sum of n products of magnitude 1
 * differs by about n·2⁻²⁴ in float32.
 */
export async function expectSameAsCpu(
  operands: readonly Operand[],
  f: (...inputs: tf.Tensor[]) => tf.Tensor,
  atol = 1e-4,
): Promise<void> {
  const [expected] = (await run('cpu', operands, (...inputs) => [f(...inputs)])) as [Operand];
  const [actual] = (await run('wasm', operands, (...inputs) => [f(...inputs)])) as [Operand];
  expect(actual.shape).to.deep.equal(expected.shape);
  const wrong = expected.values.findIndex((v, i) => !isClose(actual.values[i]!, v, atol));
  expect(actual.values[wrong], `value ${wrong}`).to.equal(expected.values[wrong]);
}

/** Which values count as the same. */
export interface Comparison {
  rtol?: number;
  /** For all results, or one for each. */
  atol?: number | readonly number[];
  backend?: 'wasm' | 'tensorflow';
}

/**
 * Runs `kernel` on the backend, wasm by default, and `reference` on the cpu backend: each value must
 * be within `atol + rtol` times the largest of its tensor, or both infinite or NaN.
 */
export async function expectSameKernel(
  operands: readonly Operand[],
  kernel: (...inputs: tf.Tensor[]) => tf.Tensor[],
  reference: (...inputs: tf.Tensor[]) => tf.Tensor[],
  {rtol = 1e-5, atol = 0, backend = 'wasm'}: Comparison = {},
): Promise<void> {
  const expected = await run('cpu', operands, reference);
  const actual = await run(backend, operands, kernel);
  expect(actual.map(({shape}) => shape)).to.deep.equal(expected.map(({shape}) => shape));
  for (const [i, {values}] of expected.entries()) {
    const results = Array.from(actual[i]!.values);
    const finite = Array.from(values).filter(Number.isFinite).map(Math.abs);
    const atolHere = typeof atol === 'number' ? atol : atol[i]!;
    const allowed = atolHere + rtol * finite.reduce((a, b) => Math.max(a, b), 0);
    const wrong = results.findIndex((x, at) => !isClose(x, values[at]!, allowed));
    expect(results[wrong], `result ${i}, value ${wrong}, ± ${allowed}`).to.equal(values[wrong]);
  }
}
