import * as tf from '@tensorflow/tfjs-core';
import {PackedMatrix} from '../packed/packed_matrix';
import {termAxisOf} from '../tape/recording';
import {customOp} from './custom_op';
import {lookUpGradient} from './vocabulary_gradient';

/**
 * The rows of `weight` `[vocab, hidden]` that `ids` name: as `tf.gather`, but where the optimizer takes the weight's gradient in
 * terms it gets it so, and of a packed weight only these rows are widened.
 */
export function lookUp(weight: tf.Tensor | PackedMatrix, ids: tf.Tensor): tf.Tensor {
  if (weight instanceof PackedMatrix) return weight.rows(ids);
  const gather = (): tf.Tensor => tf.gather(weight, ids);
  if (termAxisOf(weight) !== 0) return gather();
  return customOp({
    inputs: [weight],
    kept: [ids],
    forward: gather,
    gradient: (dy, [ids]) => [lookUpGradient(weight.shape as [number, number], ids!, dy)],
  });
}
