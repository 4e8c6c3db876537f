import * as tf from '@tensorflow/tfjs-core';

/**
 * Applies `f` to `rows` rows of the first axis at a time, of all tensors alike, and joins the results along that axis.
 * What `f` makes on its way is freed before the next rows.
 *
 * @returns new tensors, as many as `f` returns.
 */
export function mapChunks(
  tensors: readonly tf.Tensor[],
  rows: number,
  f: (...chunk: tf.Tensor[]) => tf.Tensor[],
): tf.Tensor[] {
  const total = tensors[0]!.shape[0];
  if (rows >= total) return tf.tidy(() => f(...tensors));
  const starts = Array.from({length: Math.ceil(total / rows)}, (_, i) => i * rows);
  const parts = starts.map((from) => tf.tidy(() => f(...tensors.map((x) => take(x, from, rows)))));
  return parts[0]!.map((_, i) => {
    const joined = tf.concat(parts.map((part) => part[i]!));
    for (const part of parts) part[i]!.dispose();
    return joined;
  });
}

/** At most `rows` rows of the first axis. */
function take(x: tf.Tensor, from: number, rows: number): tf.Tensor {
  const [total, ...rest] = x.shape as [number, ...number[]];
  return tf.slice(x, [from, ...rest.map(() => 0)], [Math.min(rows, total - from), ...rest]);
}
