/** Forward passes over calibration data. */

import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {display} from '../options';
import {upTo} from '../tfjs/models';

/**
 * The inputs of one forward pass: one tensor, or one for each input of the model; with an optional
 * `mask` `[batch, seq]` that is 1 for tokens that count and 0 for padding.
 */
export type CalibrationBatch =
  tf.Tensor | tf.Tensor[] | {inputs: tf.Tensor | tf.Tensor[]; mask?: tf.Tensor};

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
  let count = 0;
  for await (const batch of iterate(owner, batches)) {
    try {
      const {inputs, mask} = readBatch(owner, batch);
      tf.tidy(() => watch(() => void watched.predictOnBatch(inputs), mask));
    } finally {
      if (!Array.isArray(batches)) tf.dispose(batch);
    }
    count++;
  }
  if (count === 0) {
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
    `${owner}: batches must be an array, an iterable, an async iterable or a tf.data dataset of ` +
      `batches; got ${got}`,
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
): {inputs: tf.Tensor | tf.Tensor[]; mask?: tf.Tensor} {
  if (batch instanceof tf.Tensor || Array.isArray(batch)) return {inputs: batch};
  if (batch?.inputs === undefined) {
    throw new Error(
      `${owner}: a batch must be a tensor, an array of tensors or {inputs, mask}; ` +
        `got ${display(batch)}`,
    );
  }
  const {inputs, mask} = batch;
  const first = Array.isArray(inputs) ? inputs[0] : inputs;
  if (mask && (mask.rank !== 2 || mask.shape[0] !== first?.shape[0])) {
    throw new Error(
      `${owner}: mask must have the shape [batch, seq] = [${first?.shape[0]}, seq]; ` +
        `got [${mask.shape.join(', ')}]`,
    );
  }
  return {inputs, mask};
}
