/** The ops of src/llama in the slow, obvious way: composed of tfjs's own ops, with tfjs's own gradients. */
import * as tf from '@tensorflow/tfjs-core';

/** Mean over the labels that are not negative of −log softmax(logits)[label], by a one-hot matrix. */
export function sparseCrossEntropy(labels: tf.Tensor, logits: tf.Tensor): tf.Scalar {
  const vocab = logits.shape.at(-1)!;
  const logProbabilities = tf.logSoftmax(tf.reshape(logits, [-1, vocab]));
  const ids = tf.cast(tf.reshape(labels, [-1]), 'int32');
  const counted = tf.cast(tf.greaterEqual(ids, 0), 'float32');
  // as int32 and then cast: the wasm backend's OneHot makes no float32
  const oneHot = tf.cast(tf.oneHot(tf.maximum(ids, tf.scalar(0, 'int32')), vocab), 'float32');
  const targets = tf.mul(oneHot, tf.expandDims(counted, 1));
  const sum = tf.neg(tf.sum(tf.mul(targets, logProbabilities)));
  return tf.div<tf.Scalar>(sum, tf.maximum(tf.sum(counted), 1));
}
