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

/** `x / √(mean(x²) + eps) · weight`. */
export function rmsNorm(x: tf.Tensor, weight: tf.Tensor, eps: number): tf.Tensor {
  const meanSquare = tf.mean(tf.square(x), -1, true);
  return tf.mul(tf.mul(x, tf.rsqrt(tf.add(meanSquare, eps))), weight);
}

/** `silu(gate) · up`. */
export function swiglu(gate: tf.Tensor, up: tf.Tensor): tf.Tensor {
  return tf.mul(tf.mul(gate, tf.sigmoid(gate)), up);
}

/** `gelu(gate) · up`, GELU by its tanh approximation. */
export function geglu(gate: tf.Tensor, up: tf.Tensor): tf.Tensor {
  const cubed = tf.mul(tf.mul(gate, gate), gate);
  const inner = tf.mul(Math.sqrt(2 / Math.PI), tf.add(gate, tf.mul(0.044715, cubed)));
  return tf.mul(tf.mul(tf.mul(0.5, gate), tf.add(1, tf.tanh(inner))), up);
}

/** `x` turned by angles with cosines `cos` and sines `sin`, its first half against its second. */
export function rotate(x: tf.Tensor, {cos, sin}: {cos: tf.Tensor; sin: tf.Tensor}): tf.Tensor {
  const [first, second] = tf.split(x, 2, -1) as [tf.Tensor, tf.Tensor];
  return tf.concat(
    [
      tf.sub(tf.mul(first, cos), tf.mul(second, sin)),
      tf.add(tf.mul(second, cos), tf.mul(first, sin)),
    ],
    -1,
  );
}

/**
 * Queries `[stack, group, seq, d]`, keys and values `[stack, keys, d]` of which the last `seq` are the queries' positions, all
 * scores at once.
 *
 * @param window Key k is seen by query q where q − window < k ≤ q.
 */
export function causalAttention(
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  window: number | null = null,
): tf.Tensor {
  const [stack, group, seq, d] = q.shape as [number, number, number, number];
  const keys = k.shape[1]!;
  const isHidden = tf.buffer([seq, keys], 'float32');
  for (let row = 0; row < seq; row++) {
    for (let key = 0; key < keys; key++) {
      const query = keys - seq + row;
      const isSeen = query - (window ?? Infinity) < key && key <= query;
      if (!isSeen) isHidden.set(1, row, key);
    }
  }
  const queries = tf.reshape(q, [stack, group * seq, d]);
  const scores = tf.reshape(tf.mul(tf.matMul(queries, k, false, true), d ** -0.5), [
    stack * group,
    seq,
    keys,
  ]);
  const weights = tf.softmax(tf.add(scores, tf.mul(isHidden.toTensor(), -1e9)));
  return tf.reshape(tf.matMul(tf.reshape(weights, [stack, group * seq, keys]), v), q.shape);
}

/**
 * Causal self-attention of queries `[batch, length, heads, width]` and fewer heads of keys and values, queries and keys turned; to
 * the shape of the queries.
 */
export function selfAttention(
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  table: {cos: tf.Tensor; sin: tf.Tensor},
  window: number | null = null,
): tf.Tensor {
  const byHeads = (x: tf.Tensor): tf.Tensor => tf.transpose(x, [0, 2, 1, 3]);
  const [queries, keys] = [rotate(byHeads(q), table), rotate(byHeads(k), table)];
  const [batch, length, heads, width] = q.shape as [number, number, number, number];
  const keyHeads = k.shape[2]!;
  const stack = batch * keyHeads;
  const mixed = causalAttention(
    tf.reshape(queries, [stack, heads / keyHeads, length, width]),
    tf.reshape(keys, [stack, length, width]),
    tf.reshape(byHeads(v), [stack, length, width]),
    window,
  );
  return byHeads(tf.reshape(mixed, queries.shape));
}
