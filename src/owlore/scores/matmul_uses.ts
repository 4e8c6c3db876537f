import * as tf from '@tensorflow/tfjs-core';
import type {LinearUse} from './linear_use';

/** The two readings of a (batched) matrix product: either operand may be the weight. */
export function matMulUses(
  {a, b}: Record<'a' | 'b', tf.Tensor>,
  {transposeA, transposeB}: Partial<tf.BatchMatMulAttrs> = {},
): LinearUse[] {
  const featureOfA = a.rank - (transposeA ? 2 : 1);
  const featureOfB = b.rank - (transposeB ? 1 : 2);
  return [matMulUse(b, featureOfB, a, featureOfA), matMulUse(a, featureOfA, b, featureOfB)];
}

/** `featureOfWeight` and `featureOfInput` are the axes that the product sums over. */
function matMulUse(
  weight: tf.Tensor,
  featureOfWeight: number,
  input: tf.Tensor,
  featureOfInput: number,
): LinearUse {
  const rowAxis = featureOfInput === input.rank - 1 ? input.rank - 2 : input.rank - 1;
  const outputIsLast = featureOfWeight === weight.rank - 2;
  return {
    weight,
    input,
    featureAxes: [featureOfInput],
    sumRows(values) {
      const sums = tf.sum(values, rowAxis);
      const aligned = tf.expandDims(sums, outputIsLast ? sums.rank : sums.rank - 1);
      return sumToBroadcast(aligned, weight.shape);
    },
  };
}

/** Sums `x` over the axes along which a tensor of `shape` is broadcast to it. */
function sumToBroadcast(x: tf.Tensor, shape: number[]): tf.Tensor {
  const sums = tf.sum(x, tf.backend_util.getReductionAxes(shape, x.shape), true);
  return tf.reshape(sums, sums.shape.slice(-shape.length));
}
