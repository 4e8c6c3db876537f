import * as tf from '@tensorflow/tfjs-core';

/**
 * Mean cross-entropy, in nats, of integer labels under logits; a loss for `model.compile` and for
 * own loops.
 *
 * Label and logits of one position belong together: for a language model the label is the *next*
 * token, so shift the labels, not the logits.
 *
 * @param labels `[batch, seq, 1]` (which `model.fit` wants) or `[batch, seq]`, whole numbers below
 *   `vocab`, of any dtype. A negative one (Hugging Face's −100) is not counted.
 * @param logits `[batch, seq, vocab]`, finite.
 * @returns a scalar: the mean over the counted labels, 0 if there is none.
 */
export function sparseCrossEntropy(labels: tf.Tensor, logits: tf.Tensor): tf.Scalar {
  return tf.tidy(() => {
    const vocab = logits.shape[logits.rank - 1]!;
    const logProbabilities = tf.logSoftmax(tf.reshape(logits, [-1, vocab]));
    const ids = tf.cast(tf.reshape(labels, [-1]), 'int32');
    const counted = tf.cast(tf.greaterEqual(ids, 0), 'float32');
    // as int32 and then cast: the wasm backend's OneHot makes no float32
    const oneHot = tf.oneHot(tf.maximum(ids, tf.scalar(0, 'int32')), vocab);
    const targets = tf.mul(tf.cast(oneHot, 'float32'), tf.expandDims(counted, 1));
    const sum = tf.neg(tf.sum(tf.mul(targets, logProbabilities)));
    return tf.div<tf.Scalar>(sum, tf.maximum(tf.sum(counted), 1));
  });
}
