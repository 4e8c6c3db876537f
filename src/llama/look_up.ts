import * as tf from '@tensorflow/tfjs-core';
import {PackedMatrix} from '../model/packed_matrix';
import {isRecording, factoredAxisOf} from '../tape/recording';
import {customOp} from './custom_op';
import {IndexedSlices} from '../tape/indexed_slices';
import {lookUpGradient} from './vocabulary_gradient';

/**
 * The rows of `weight` `[vocab, hidden]` that `ids` name: as `tf.gather`, but on this library's tape the weight's gradient is
 * made where it is added to that of a tied head, and factored where the optimizer takes it so; of a packed weight only these rows are
 * widened.
 */
export function lookUp(weight: tf.Tensor | PackedMatrix, ids: tf.Tensor): tf.Tensor {
  if (weight instanceof PackedMatrix) return weight.rows(ids);
  const gather = (): tf.Tensor => tf.gather(weight, ids);
  if (!isRecording()) return gather();
  const isInTerms = factoredAxisOf(weight) === 0;
  return customOp({
    inputs: [weight],
    kept: [ids],
    forward: gather,
    gradient: (dy, [ids]) => [
      isInTerms
        ? lookUpGradient(weight.shape as [number, number], ids!, dy)
        : new IndexedSlices(weight.shape, ids!, dy),
    ],
  });
}
