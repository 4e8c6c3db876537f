import * as tf from '@tensorflow/tfjs-core';
import {OwLoreAddRows} from '../kernels/kernel_names';
import {runKernel} from '../kernels/run_kernel';
import {nextTensorId} from '../tfjs/engine';
import type {SummandGradient} from './gradient';

/** Ids of data whose memory no other id has. */
const freshData = new WeakSet();

/** Says of a tensor that an op has just made it, so that no other tensor but its clones has its memory. */
export function markFresh<T extends tf.Tensor>(tensor: T): T {
  freshData.add(tensor.dataId);
  return tensor;
}

/**
 * The gradient of a look-up in a matrix [vocab, width] as the rows that are not zero, as TensorFlow's `IndexedSlices`: row `ids[i]` has
 * `rows[i]` added to it. Where the matrix has another gradient already, as that of a tied head, these rows are added to it, in place if
 * that is {@link markFresh fresh}.
 *
 * tfjs asks of a gradient only that it is a `tf.Tensor` of the right shape and dtype; see `tape/factored_gradient`.
 */
export class IndexedSlices extends tf.Tensor implements SummandGradient {
  private readonly ids: tf.Tensor1D;
  private readonly rows: tf.Tensor2D;

  /**
   * @param ids Token ids, int32 of any shape; not disposed of.
   * @param rows `[…, width]`, a row for each id; not disposed of.
   */
  constructor(shape: readonly number[], ids: tf.Tensor, rows: tf.Tensor) {
    super([...shape], 'float32', {}, nextTensorId());
    this.ids = tf.keep(tf.reshape(ids, [-1]));
    this.rows = tf.keep(tf.reshape(rows, [-1, shape[1]!]));
  }

  addedTo(sum: tf.Tensor | undefined): tf.Tensor {
    try {
      return tf.tidy(() => {
        const {ids, rows} = this;
        const isSoleOwner = sum !== undefined && freshData.has(sum.dataId);
        const added = sum && runKernel(OwLoreAddRows, {x: sum, ids, values: rows}, {isSoleOwner});
        if (added) return added[0]!;
        const own = tf.unsortedSegmentSum(rows, ids, this.shape[0]);
        return sum ? tf.add(sum, own) : own;
      });
    } finally {
      tf.dispose([sum, this]);
    }
  }

  override dispose(): void {
    tf.dispose([this.ids, this.rows]);
    this.isDisposedInternal = true;
  }
}
