import * as tf from '@tensorflow/tfjs-core';
import {OwLoreAccumulate} from '../kernels/kernel_names';
import {piecesOf} from '../kernels/pieces';
import {runKernel} from '../kernels/run_kernel';

/** The results for some rows: `joined` ones with a row for each of them, and others that are summed over all rows. */
export interface ChunkResults {
  joined?: tf.Tensor[];
  summed?: tf.Tensor[];
}

/**
 * Applies `f` to `rows` rows of the first axis at a time, the same rows of all tensors. Intermediate
 * tensors of `f` are freed before the next rows.
 *
 * @returns new tensors: the results of all rows, joined along the first axis or added up.
 */
export function inChunks(
  tensors: readonly tf.Tensor[],
  rows: number,
  f: (...chunk: tf.Tensor[]) => ChunkResults,
): Required<ChunkResults> {
  const total = tensors[0]!.shape[0];
  const parts: tf.Tensor[][] = [];
  let sums: tf.Tensor[] = [];
  for (const {from, count, isStandIn} of piecesOf(total, rows)) {
    if (isStandIn) {
      parts.push(parts[0]!.map(({shape}) => tf.fill([count, ...shape.slice(1)], 0)));
      continue;
    }
    const before = sums;
    const [joined, summed] = tf.tidy<[tf.Tensor[], tf.Tensor[]]>(() => {
      const {joined = [], summed = []} = f(...tensors.map((x) => take(x, from, count)));
      return [joined, summed.map((x, i) => (before[i] ? added(before[i], x) : x))];
    });
    tf.dispose(before);
    parts.push(joined);
    sums = summed;
  }
  return {joined: parts[0]!.map((_, i) => join(parts.map((part) => part[i]!))), summed: sums};
}

/** The sum, in the memory of `sum` where a kernel can do that and it is worth it. */
function added(sum: tf.Tensor, x: tf.Tensor): tf.Tensor {
  const inPlace = x.rank > 0 ? runKernel(OwLoreAccumulate, {sum, x}) : null;
  return inPlace?.[0] ?? tf.add(sum, x);
}

/** `count` rows from `from` on. */
function take(x: tf.Tensor, from: number, count: number): tf.Tensor {
  const [total, ...rest] = x.shape as [number, ...number[]];
  if (count >= total) return x;
  return tf.slice(x, [from, ...rest.map(() => 0)], [count, ...rest]);
}

/** Joins along the first axis, and frees the parts. */
function join(parts: tf.Tensor[]): tf.Tensor {
  if (parts.length === 1) return parts[0]!;
  const joined = tf.concat(parts);
  tf.dispose(parts);
  return joined;
}
