/** The first batches of a dataset as calibration data for scores. */
import * as tf from '@tensorflow/tfjs-core';
import type {CalibrationBatch} from '../scores/calibration';
import type {TextBatch} from '../llama/index';
import type {CommandConsole} from './console';
import {nextTurn} from './progress';

/** Batches that scores are computed on by default. */
export const CALIBRATION_BATCHES = 8;

/**
 * At most `count` batches. Positions after the last label are padding and do not count. The consumer disposes of the
 * tensors.
 */
export async function* calibrationBatches(
  dataset: AsyncIterable<TextBatch>,
  count: number,
): AsyncGenerator<CalibrationBatch> {
  let taken = 0;
  for await (const {xs, ys} of dataset) {
    const mask = paddingMask(ys);
    ys.dispose();
    yield {inputs: xs, mask};
    if (++taken === count) return;
  }
}

/** As `calibrationBatches`, with a progress bar. */
export async function* watchedCalibration(
  dataset: AsyncIterable<TextBatch>,
  count: number,
  console: CommandConsole,
): AsyncGenerator<CalibrationBatch> {
  const progress = console.progress({label: 'calibrating', total: count});
  let done = 0;
  for await (const batch of calibrationBatches(dataset, count)) {
    yield batch;
    progress.update(++done);
    await nextTurn();
  }
  progress.end();
}

/** 1 up to the last label of each row, 0 after it: `[batch, seq]`, from labels `[batch, seq, 1]`. */
function paddingMask(labels: tf.Tensor3D): tf.Tensor {
  return tf.tidy(() => {
    const isLabel = tf.cast(tf.greaterEqual(tf.squeeze(labels, [2]), 0), 'float32');
    const labelsToCome = tf.cumsum(isLabel, 1, false, true);
    return tf.cast(tf.greater(labelsToCome, 0), 'float32');
  });
}
