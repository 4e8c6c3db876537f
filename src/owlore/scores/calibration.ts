/** Forward passes over calibration data. */

import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {display} from '../../common/options';
import {upTo} from '../../tfjs/models';
import type {Labels} from './token_mask';

/**
 * The inputs of one forward pass: one tensor, or one for each input of the model; with an optional
 * `mask` `[batch, seq]` that is 1 for tokens that count and 0 for padding. Or what `fitDataset` takes, `{xs, ys}`: then tokens
 * `[batch, seq]` after the last label of their row, in labels int32 `[batch, seq, 1]` that are negative where there is none, are padding.
 */
export type CalibrationBatch =
  | tf.Tensor
  | tf.Tensor[]
  | {inputs: tf.Tensor | tf.Tensor[]; mask?: tf.Tensor}
  | {xs: tf.Tensor | tf.Tensor[]; ys?: tf.TensorContainer};

/**
 * Calibration data: an array, another iterable, an async iterable, or a `tf.data` dataset of batches.
 * The tensors of an array stay the caller's. Tensors from all other sources are disposed of after their
 * pass, as `fitDataset` does.
 */
export type CalibrationBatches =
  | Iterable<CalibrationBatch>
  | AsyncIterable<CalibrationBatch>
  | {iterator(): Promise<{next(): Promise<IteratorResult<CalibrationBatch>>}>};

/**
 * Runs the model on every batch, in inference mode and each in a `tf.tidy`; of a chain of layers only what leads to the last of
 * `layers`, so that a language model computes no logits.
 *
 * @param layers Those that are watched.
 * @param watch must call `forward`, and may watch what it runs; `mask` is the mask of the batch.
 * @throws if there is no batch, or a batch is malformed.
 */
export async function runCalibration(
  owner: string,
  model: tfl.LayersModel,
  layers: readonly tfl.layers.Layer[],
  batches: CalibrationBatches,
  watch: (forward: () => void, mask?: tf.Tensor) => void,
): Promise<void> {
  const watched = upTo(model, layers);
  let isEmpty = true;
  for await (const batch of iterate(owner, batches)) {
    try {
      const {inputs, ...others} = readBatch(owner, batch);
      const tokenMask =
        (others.mask ?? others.ys) ? (await import('./token_mask')).tokenMask : undefined;
      tf.tidy(() =>
        watch(() => void watched.predictOnBatch(inputs), tokenMask?.(owner, inputs, others)),
      );
    } finally {
      if (!Array.isArray(batches)) tf.dispose(batch);
    }
    isEmpty = false;
  }
  if (isEmpty) {
    throw new Error(`${owner}: batches is empty; it takes at least one batch of calibration data`);
  }
}

function iterate(
  owner: string,
  batches: CalibrationBatches,
): AsyncIterable<CalibrationBatch> | Iterable<CalibrationBatch> {
  if (typeof batches === 'object' && batches !== null) {
    if (Symbol.iterator in batches || Symbol.asyncIterator in batches) return batches;
    if ('iterator' in batches) return iterateDataset(batches);
  }
  const got =
    (batches as unknown) instanceof tf.Tensor ? 'a tensor, put it in an array' : display(batches);
  throw new Error(
    `${owner}: batches must be an array, another iterable or a tf.data dataset; got ${got}`,
  );
}

async function* iterateDataset(dataset: {
  iterator(): Promise<{next(): Promise<IteratorResult<CalibrationBatch>>}>;
}): AsyncGenerator<CalibrationBatch> {
  const iterator = await dataset.iterator();
  for (let item = await iterator.next(); !item.done; item = await iterator.next()) yield item.value;
}

function readBatch(
  owner: string,
  batch: CalibrationBatch,
): {inputs: tf.Tensor | tf.Tensor[]} & Labels {
  const isBare = batch instanceof tf.Tensor || Array.isArray(batch);
  const {
    xs,
    inputs = xs,
    ...labels
  } = (isBare ? {inputs: batch} : (batch ?? {})) as Labels &
    Partial<Record<'inputs' | 'xs', tf.Tensor | tf.Tensor[]>>;
  if (inputs && [inputs].flat().every((each) => each instanceof tf.Tensor))
    return {inputs, ...labels};
  throw new Error(
    `${owner}: a batch must be a tensor, an array of tensors, {inputs, mask} or {xs, ys}; ` +
      `got ${display(batch)}`,
  );
}
