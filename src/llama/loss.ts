import * as tf from '@tensorflow/tfjs-core';
import {mapChunks} from './chunks';
import {customOp} from './custom_op';

/** Logits that are worked on at a time; 1 MB. */
const CHUNK_SIZE = 2 ** 18;

/**
 * Mean cross-entropy, in nats, of integer labels under logits; a loss for `model.compile` and for
 * own loops.
 *
 * Label and logits of one position belong together: for a language model the label is the *next*
 * token, so shift the labels, not the logits. Beside the logits and their gradient it needs memory
 * for some rows at a time, and for the parts of the gradient while they are put together.
 *
 * @param labels `[batch, seq, 1]` (which `model.fit` wants) or `[batch, seq]`, whole numbers below
 *   `vocab`, of any dtype. A negative one (Hugging Face's −100) is not counted.
 * @param logits `[batch, seq, vocab]`, finite.
 * @returns a scalar: the mean over the counted labels, 0 if there is none.
 */
export function sparseCrossEntropy(labels: tf.Tensor, logits: tf.Tensor): tf.Scalar {
  return tf.tidy(() => {
    const vocab = logits.shape.at(-1)!;
    const rows = Math.max(1, Math.floor(CHUNK_SIZE / vocab));
    const {ids, weights} = readLabels(labels);
    const perToken = tf.reshape(logits, [-1, vocab]);
    return customOp({
      inputs: [perToken],
      kept: [perToken, ids, weights],
      forward: () =>
        tf.sum(mapChunks([perToken, ids, weights], rows, (x, y, w) => [rowLosses(x, y, w)])[0]!),
      gradient: (dy, kept) => {
        const [perToken, ids, weights] = kept as [tf.Tensor, tf.Tensor, tf.Tensor];
        const scaled = tf.mul(weights, dy);
        return mapChunks([perToken, ids, scaled], rows, (x, y, w) => [rowGradients(x, y, w)]);
      },
    }) as tf.Scalar;
  });
}

/**
 * Label ids `[rows]`, 0 in place of those that are not counted, and the weight of each row in the
 * mean, `[rows]`.
 */
function readLabels(labels: tf.Tensor): {ids: tf.Tensor; weights: tf.Tensor} {
  const given = tf.cast(tf.reshape(labels, [-1]), 'int32');
  const counted = tf.cast(tf.greaterEqual(given, 0), 'float32');
  return {
    ids: tf.maximum(given, tf.scalar(0, 'int32')),
    weights: tf.div(counted, tf.maximum(tf.sum(counted), 1)),
  };
}

/** `weight · −log softmax(logits)[id]` of each row, `[rows]`. */
function rowLosses(logits: tf.Tensor, ids: tf.Tensor, weights: tf.Tensor): tf.Tensor {
  const ofLabels = tf.gatherND(logits, positions(ids));
  return tf.mul(weights, tf.sub(tf.logSumExp(logits, -1), ofLabels));
}

/** `weight · (softmax(logits) − 1 at id)` of each row, `[rows, vocab]`. */
function rowGradients(logits: tf.Tensor, ids: tf.Tensor, weights: tf.Tensor): tf.Tensor {
  const weighted = tf.mul(tf.softmax(logits), tf.expandDims(weights, 1));
  const at = positions(ids);
  return tf.tensorScatterUpdate(weighted, at, tf.sub(tf.gatherND(weighted, at), weights));
}

/** Row and column of each row's label, `[rows, 2]`. */
function positions(ids: tf.Tensor): tf.Tensor {
  return tf.stack([tf.range(0, ids.shape[0], 1, 'int32'), ids], 1);
}
