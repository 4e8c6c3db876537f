import type * as tf from '@tensorflow/tfjs-core';
import {readsSynchronously} from '../kernels/capabilities';

/** Which whole numbers a tensor may have. */
export interface IdRange {
  /** What they are, for a message. */
  owner: string;
  /** Each is below it. */
  vocab: number;
  /** Whether negative ones may be among them. */
  allowsNegative: boolean;
}

/**
 * Throws unless a tensor's values are whole numbers in the range. Where a backend cannot be read within a step (webgpu, webgl)
 * nothing is checked.
 */
export function checkIds(ids: tf.Tensor, {owner, vocab, allowsNegative}: IdRange): void {
  if (ids.dtype === 'string' || ids.dtype === 'complex64') {
    throw new Error(`${owner} must be whole numbers; got ${ids.dtype} [${ids.shape.join(',')}]`);
  }
  if (!readsSynchronously()) return;
  const values = ids.dataSync();
  for (let i = 0; i < values.length; i++) {
    const id = values[i]!;
    if (id < vocab && (id >= 0 || allowsNegative) && Number.isInteger(id)) continue;
    throw new Error(
      `${owner} must be whole numbers ${allowsNegative ? '' : 'from 0 to '}below the vocabulary's size, ${vocab}; number ` +
        `${i} of [${ids.shape.join(',')}] is ${id}`,
    );
  }
}
