import type * as tf from '@tensorflow/tfjs-core';
import * as fused from '../../src/kernels/llama/kernel_names';
import * as composed from '../../tools/composed';
import {
  expectSameKernel,
  gradients,
  randomOperand,
  scaled,
  spoiled,
  type Comparison,
  type Run,
  type Tensors,
} from './wasm/compare';

/** Compares the kernels of SwiGLU, with `value`, if there is one, in some place, and of its gradients with what is composed. */
export async function expectSameSwiGLU(
  {shape, scale, value, seed}: {shape: number[]; scale: number; value: number | null; seed: number},
  run: Run,
  backend: Comparison['backend'],
): Promise<void> {
  const swiglu = (...[gate, up]: Tensors): tf.Tensor => composed.swiglu(gate!, up!);
  const gate = spoiled(scaled(shape, seed, scale), value, seed);
  const up = randomOperand(shape, seed + 1);
  await expectSameKernel(
    [gate, up],
    (gate, up) => run(fused.OwLoreSwiGLU, {gate, up}, {}),
    (gate, up) => [swiglu(gate, up)],
    {backend},
  );
  // tfjs has no gradients of empty tensors; and their product is a difference that cancels
  if (gate.values.length === 0 || scale === 1e30) return;
  await expectSameKernel(
    [randomOperand(shape, seed + 2), gate, up],
    (dy, gate, up) => run(fused.OwLoreSwiGLUGrad, {dy, gate, up}, {withValue: true}),
    (dy, gate, up) => [...gradients(swiglu)(dy, gate, up), swiglu(gate, up)],
    {backend},
  );
}
