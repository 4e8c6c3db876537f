import * as tf from '@tensorflow/tfjs-core';
import * as fused from '../../src/kernels/llama/kernel_names';
import * as composed from '../../tools/composed';
import {
  expectSameKernel,
  gradients,
  randomOperand,
  scaled,
  type Comparison,
  type Run,
  type Tensors,
} from './wasm/compare';

const EPSILON = 1e-5;

/** Compares the kernels of RMSNorm over the last axis, and of its gradients, with what is composed. */
export async function expectSameRMSNorm(
  {shape, scale, seed}: {shape: number[]; scale: number; seed: number},
  run: Run,
  backend: Comparison['backend'],
): Promise<void> {
  const attrs = {epsilon: EPSILON};
  const norm = (...[x, weight]: Tensors): tf.Tensor => composed.rmsNorm(x!, weight!, EPSILON);
  const width = shape.at(-1)!;
  const x = scaled(shape, seed, scale);
  const weight = randomOperand([width], seed + 1);
  await expectSameKernel(
    [x, weight],
    (x, weight) => run(fused.OwLoreRMSNorm, {x, weight}, attrs),
    (x, weight) => [norm(x, weight)],
    {backend},
  );
  const rows = x.values.length / width;
  // tfjs has no gradients of empty tensors; and the gradient by x is a difference that cancels
  if (rows === 0 || scale === 1e30) return;
  const squares = Array.from({length: rows}, (_, row) =>
    Array.from(x.values.slice(row * width, (row + 1) * width)).reduce((sum, v) => sum + v * v, 0),
  );
  const factors = squares.map((sum) => (sum / width + EPSILON) ** -0.5);
  const dy = randomOperand(shape, seed + 2);
  // The gradient by the weight sums over the rows what may cancel, so that the rounding of its terms (of each some 2⁻²⁴) remains.
  const sums = Array.from({length: width}, (_, column) =>
    factors.reduce((sum, factor, row) => {
      const at = row * width + column;
      return sum + Math.abs(dy.values[at]! * x.values[at]! * factor);
    }, 0),
  );
  await expectSameKernel(
    [dy, x, weight],
    (dy, x, weight) => run(fused.OwLoreRMSNormGrad, {dy, x, weight}, attrs),
    gradients(norm),
    {backend, atol: [1e-5 * Math.max(...factors), 8 * 2 ** -24 * Math.max(...sums)]},
  );
}
