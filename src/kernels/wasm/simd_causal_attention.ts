import type * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import {addressOf, allocate, type KernelArgs} from './kernel';
import type {SimdModule} from './simd_module';

/** Positions whose queries are worked on at a time: a few tiles of the matrix product. */
const MOST_ROWS = 32;
const FEWEST_ROWS = 4;

/** Scores that are kept at a time, if these are not too few for `FEWEST_ROWS`: 256 KB. */
const SCORES = 2 ** 16;

/** OwLoreCausalAttention. */
export function simdCausalAttention(
  {functions}: SimdModule,
  {inputs: {q, k, v}, backend}: KernelArgs<'q' | 'k' | 'v', object>,
): tf.TensorInfo {
  const {stack, group, length, width, scale, rows} = sizes(q);
  const y = allocate(backend, q.shape);
  withMemory(backend, rows * length, (scores) => {
    functions.causalAttention(
      addressOf(backend, q),
      addressOf(backend, k),
      addressOf(backend, v),
      stack,
      group,
      length,
      width,
      scale,
      addressOf(backend, y),
      rows,
      scores,
    );
  });
  return y;
}

/** OwLoreCausalAttentionGrad. */
export function simdCausalAttentionGrad(
  {functions}: SimdModule,
  {inputs: {dy, q, k, v}, backend}: KernelArgs<'dy' | 'q' | 'k' | 'v', object>,
): tf.TensorInfo[] {
  const {stack, group, length, width, scale, rows} = sizes(q);
  const dq = allocate(backend, q.shape);
  const dk = allocate(backend, k.shape);
  const dv = allocate(backend, v.shape);
  withMemory(backend, 2 * rows * length, (scores) => {
    functions.causalAttentionGradient(
      addressOf(backend, dy),
      addressOf(backend, q),
      addressOf(backend, k),
      addressOf(backend, v),
      stack,
      group,
      length,
      width,
      scale,
      addressOf(backend, dq),
      addressOf(backend, dk),
      addressOf(backend, dv),
      rows,
      scores,
    );
  });
  return [dq, dk, dv];
}

function sizes(q: tf.TensorInfo) {
  const [stack, group, length, width] = q.shape as [number, number, number, number];
  const fitting = Math.floor(SCORES / Math.max(length, 1) / FEWEST_ROWS) * FEWEST_ROWS;
  const rows = Math.min(Math.max(fitting, FEWEST_ROWS), MOST_ROWS);
  return {stack, group, length, width, scale: width ** -0.5, rows};
}

/** Calls `use` with the address of memory for `count` numbers, which is free again afterwards. */
function withMemory(backend: BackendWasm, count: number, use: (address: number) => void): void {
  const memory = allocate(backend, [count]);
  use(addressOf(backend, memory));
  backend.disposeData(memory.dataId);
}
