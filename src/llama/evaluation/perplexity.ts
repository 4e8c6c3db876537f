import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {checkArgument} from '../../common/options';
import {sparseCrossEntropy} from '../loss';
import type {TextBatch} from '../text/dataset_pass';
import {rowsAtOnce} from './model_limits';
import {outputForLoss} from './model_output';

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
 * The perplexity of a model on batches, such as a `textDataset` with `shuffle: false`. Each counted label
 * has the same weight, whichever batch it is in. Of a model of `createLlama` only some of the logits exist at a
 * time; of another one, at most as many rows of a batch go through it together as have 2²⁶ logits. The batches'
 * tensors are disposed of.
 *
 * ```ts
 * const {perplexity: ppl} = await perplexity(model, textDataset('test.jsonl', tokenizer, {shuffle: false, config}));
 * ```
 *
 * @param batches Token ids and labels, as `sparseCrossEntropy` takes them.
 * @throws if no label is counted, or the shapes of ids and labels do not fit together.
 */
export async function perplexity(
  model: tfl.LayersModel,
  batches: AsyncIterable<TextBatch> | Iterable<TextBatch>,
): Promise<Perplexity> {
  const isModel = Array.isArray((model as tfl.LayersModel | null)?.outputs);
  checkArgument('perplexity', 'model', model, 'a tf.LayersModel', isModel);
  const isIterable = [Symbol.asyncIterator, Symbol.iterator].some((key) => key in Object(batches));
  checkArgument('perplexity', 'batches', batches, 'an iterable of batches {xs, ys}', isIterable);
  // null of a model of createLlama
  const vocabSize = model.outputs[0]!.shape.at(-1) ?? 0;
  let sum = 0;
  let tokens = 0;
  for await (const batch of batches) {
    const {xs, ys} = batch ?? {};
    try {
      checkBatch(xs, ys);
      const [rows, length] = xs.shape;
      const step = rowsAtOnce(length, vocabSize);
      for (let from = 0; from < rows; from += step) {
        const size = Math.min(step, rows - from);
        const {loss, count} = tf.tidy(() => {
          const labels = tf.slice(ys, from, size);
          return {
            loss: sparseCrossEntropy(labels, outputForLoss(model, tf.slice(xs, from, size))),
            count: tf.sum(tf.cast(tf.greaterEqual(labels, 0), 'int32')),
          };
        });
        const [[mean], [counted]] = await Promise.all([loss.data(), count.data()]);
        tf.dispose([loss, count]);
        // without labels the mean is meaningless
        if (counted! > 0) sum += mean! * counted!;
        tokens += counted!;
      }
    } finally {
      tf.dispose([xs, ys]);
    }
  }
  if (tokens === 0) throw new Error('perplexity: the batches have no label that is counted');
  const loss = sum / tokens;
  return {perplexity: Math.exp(loss), loss, tokens};
}

function checkBatch(xs: tf.Tensor, ys: tf.Tensor): void {
  for (const [name, tensor] of Object.entries({xs, ys})) {
    const isTensor = tensor instanceof tf.Tensor;
    checkArgument('perplexity', `${name} of a batch`, tensor, 'a tensor', isTensor);
  }
  if (xs.rank === 2 && tf.util.arraysEqual(ys.shape.slice(0, 2), xs.shape) && ys.size === xs.size) {
    return;
  }
  throw new Error(
    `perplexity: a batch must have labels, [batch, seq] or [batch, seq, 1], for token ids [batch, seq], here ` +
      `[${xs.shape.join(',')}]; got labels [${ys.shape.join(',')}]`,
  );
}
