import * as tf from '@tensorflow/tfjs-core';
import {termAxisOf} from '../tape/recording';
import {customOp} from './custom_op';
import {lookUpGradient} from './vocabulary_gradient';

/**
 * The rows of `weight` `[vocab, hidden]` that `ids` name: as `tf.gather`, but where the optimizer takes the weight's gradient in
 * terms it gets it so.
 */
export function lookUp(weight: tf.Tensor, ids: tf.Tensor): tf.Tensor {
  const gather = (): tf.Tensor => tf.gather(weight, ids);
  if (termAxisOf(weight) !== 0) return gather();
  return customOp({
    inputs: [weight],
    kept: [ids],
    forward: gather,
    gradient: (dy, [ids]) => [lookUpGradient(weight.shape as [number, number], ids!, dy)],
  });
}
