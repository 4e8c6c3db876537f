import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {sparseCrossEntropy} from '../loss';
import type {TextBatch} from '../text/dataset_pass';

/** How well a model predicts a text. */
export interface Perplexity {
  /** e to the loss. */
  perplexity: number;
  /** Mean cross-entropy of the counted tokens, in nats. */
  loss: number;
  /** Tokens that were counted. */
  tokens: number;
}

/**
 * The perplexity of a model on batches, such as a `textDataset` with `shuffle: false`: each counted label
 * weighs the same, whichever batch it is in. The batches' tensors are disposed of.
 *
 * @param batches Token ids and labels, as `sparseCrossEntropy` takes them.
 * @throws if no label is counted.
 */
export async function perplexity(
  model: tfl.LayersModel,
  batches: AsyncIterable<TextBatch> | Iterable<TextBatch>,
): Promise<Perplexity> {
  let sum = 0;
  let tokens = 0;
  for await (const {xs, ys} of batches) {
    const {loss, count} = tf.tidy(() => ({
      loss: sparseCrossEntropy(ys, model.predictOnBatch(xs) as tf.Tensor),
      count: tf.sum(tf.cast(tf.greaterEqual(ys, 0), 'int32')),
    }));
    const [[mean], [counted]] = await Promise.all([loss.data(), count.data()]);
    tf.dispose([xs, ys, loss, count]);
    sum += mean! * counted!;
    tokens += counted!;
  }
  if (tokens === 0) throw new Error('perplexity: the batches have no label that is counted');
  const loss = sum / tokens;
  return {perplexity: Math.exp(loss), loss, tokens};
}
