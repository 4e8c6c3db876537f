import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {loadBackend} from '../../../tools/load_backend';
import {installKernels, uninstallKernels} from '../../../src/kernels/webgpu';
import {createRandom} from '../../../src/common/random';
import {backends, defaultBackend} from '../../support/backends';
import {runKernel} from '../../../tools/webgpu_updates';

/** A `describe` with the kernels installed; skipped where webgpu is not to be tested. The software GPU is slow. */
export function describeWebgpu(title: string, body: (this: Mocha.Suite) => void): void {
  (backends.includes('webgpu') ? describe : describe.skip)(title, function () {
    this.timeout(120_000);
    before(async () => {
      // for what the kernels are compared with
      await loadBackend('cpu');
      await tf.setBackend('webgpu');
      await installKernels();
    });
    after(async () => {
      uninstallKernels();
      await tf.setBackend(defaultBackend);
    });
    body.call(this);
  });
}

/** Plain values, so that the same tensor can be made on either backend. */
export interface Operand {
  shape: number[];
  values: Float32Array;
  dtype?: 'float32' | 'bool';
}

/** Normally distributed numbers from a seed, times a power of ten from `exponents`; every 7th the `special` one, if given. */
export function randomOperand(
  shape: number[],
  seed: number,
  {exponents = [0], special}: {exponents?: number[]; special?: number | undefined} = {},
): Operand {
  const random = createRandom(seed);
  const values = Float32Array.from({length: tf.util.sizeFromShape(shape)}, (_, i) => {
    if (special !== undefined && i % 7 === seed % 7) return special;
    const radius = Math.sqrt(-2 * Math.log(1 - random.next()));
    const exponent = exponents[Math.floor(random.next() * exponents.length)]!;
    return radius * Math.cos(2 * Math.PI * random.next()) * 10 ** exponent;
  });
  return {shape, values};
}

export function scalarOperand(value: number | boolean): Operand {
  const dtype = typeof value === 'boolean' ? 'bool' : 'float32';
  return {shape: [], values: new Float32Array([Number(value)]), dtype};
}

export function squared({shape, values}: Operand): Operand {
  return {shape, values: values.map((x) => x * x)};
}

export const seeds = fc.integer({min: 1, max: 1e6});

/** Absent, true and false. */
export const booleans = fc.constantFrom(undefined, true, false);

/** Powers of ten that numbers are multiplied by. */
export const exponents = fc.constantFrom<number[][]>(
  [0],
  [-30],
  [30],
  [-30, -3, 0, 3, 30],
  [-6, 6],
);

export const specials = fc.constantFrom(undefined, undefined, undefined, NaN, Infinity, -Infinity);

export type Operands = Record<string, Operand | undefined>;
export type Tensors = tf.NamedTensorMap;

interface Result {
  shape: number[];
  values: Float32Array | Int32Array;
}

async function resultsOf(f: () => tf.Tensor[]): Promise<Result[]> {
  const outputs = tf.tidy(f);
  const results = [];
  for (const output of outputs) {
    const values = (await output.data()) as Float32Array | Int32Array;
    results.push({shape: output.shape, values: values.slice()});
  }
  tf.dispose(outputs);
  return results;
}

/**
 * Runs `f` on a backend, and reads what it gives. Nothing else may be left, neither of tensors nor of the backend's data. On
 * webgpu it runs twice, and must give the same: the operands are on the host first, and on the device then.
 */
export async function run(
  backend: 'cpu' | 'webgpu',
  operands: Operands,
  f: (inputs: Tensors) => tf.Tensor[],
): Promise<Result[]> {
  await tf.setBackend(backend);
  const tensors = tf.memory().numTensors;
  const dataIds = tf.engine().backend.numDataIds();
  const inputs: Tensors = {};
  for (const [name, operand] of Object.entries(operands)) {
    if (operand) inputs[name] = tf.tensor(operand.values.slice(), operand.shape, operand.dtype);
  }
  const fromHost = backend === 'webgpu' && (await resultsOf(() => f(inputs)));
  const results = await resultsOf(() => f(inputs));
  if (fromHost) expect(results, 'from the device').to.deep.equal(fromHost);
  tf.dispose(inputs);
  expect(tf.memory().numTensors, 'tensors').to.equal(tensors);
  expect(tf.engine().backend.numDataIds(), 'data of the backend').to.equal(dataIds);
  return results;
}

/**
 * The kernel on webgpu must give what `composed` gives on the cpu backend, which computes in float64 and rounds each op's
 * result: to within `tolerance`, another tensor of the same shape for each. Numbers that are not finite must be the same.
 */
export async function expectKernel(
  name: string,
  operands: Operands,
  attrs: object,
  composed: (inputs: Tensors) => Array<{value: tf.Tensor; tolerance: tf.Tensor}>,
): Promise<void> {
  const expected = await run('cpu', operands, (inputs) =>
    composed(inputs).flatMap(({value, tolerance}) => [value, tolerance]),
  );
  const actual = await run('webgpu', operands, (inputs) => runKernel(name, inputs, attrs));
  expect(actual.length).to.equal(expected.length / 2);
  actual.forEach(({shape, values}, i) => {
    const reference = expected[2 * i]!;
    const tolerance = expected[2 * i + 1]!.values;
    expect(shape, `shape of output ${i}`).to.deep.equal(reference.shape);
    values.forEach((value, j) => {
      const right = reference.values[j]!;
      const isClose = [value, right, tolerance[j]!].every(Number.isFinite);
      const isSame =
        Object.is(value, right) || (isClose && Math.abs(value - right) <= tolerance[j]!);
      if (!isSame) expect(value, `output ${i}, number ${j} ±${tolerance[j]}`).to.equal(right);
    });
  });
}
