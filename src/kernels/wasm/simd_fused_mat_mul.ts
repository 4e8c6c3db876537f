import * as tf from '@tensorflow/tfjs-core';
import {activate, addBroadcast, type FusedMatMulArgs} from './fused_mat_mul';
import {addressOf} from './kernel';
import {simdBatchMatMul} from './simd_mat_mul';
import type {SimdModule} from './simd_module';

type Range = [lower: number, upper: number];

const EVERYTHING: Range = [-Infinity, Infinity];

/** The range of values that remains, for activations that only clamp. */
const RANGES: Readonly<Record<string, Range>> = {
  linear: EVERYTHING,
  relu: [0, Infinity],
  relu6: [0, 6],
};

/** _FusedMatMul by the module: the product, then bias and activation in place. */
export function simdFusedMatMul(module: SimdModule, args: FusedMatMulArgs): tf.TensorInfo {
  const {inputs, backend, attrs} = args;
  const {bias} = inputs;
  let out = simdBatchMatMul(module, args);
  const size = tf.util.sizeFromShape(out.shape);
  const columns = out.shape.at(-1)!;
  let added = 0;
  if (bias?.shape.at(-1) === columns && tf.util.sizeFromShape(bias.shape) === columns) {
    added = addressOf(backend, bias);
  } else if (bias) {
    out = addBroadcast(backend, out, bias);
  }
  const range = RANGES[attrs.activation];
  if (size > 0 && (added > 0 || (range && range !== EVERYTHING))) {
    const [lower, upper] = range ?? EVERYTHING;
    const x = addressOf(backend, out);
    module.addBias({x, rows: size / columns, columns, bias: added, lower, upper});
  }
  return range ? out : activate(args, out);
}
