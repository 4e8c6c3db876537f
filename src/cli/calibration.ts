/** The first batches of a dataset as calibration data for scores. */
import type {CalibrationBatch} from '../scores/calibration';
import type {TextBatch} from '../llama/index';
import type {CommandConsole} from './console';
import {nextTurn} from './progress';

/** Batches that scores are computed on by default. */
export const CALIBRATION_BATCHES = 8;

/**
 * At most `count` batches. The consumer disposes of the tensors.
 */
export async function* calibrationBatches(
  dataset: AsyncIterable<TextBatch>,
  count: number,
): AsyncGenerator<CalibrationBatch> {
  let taken = 0;
  for await (const batch of dataset) {
    yield batch;
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
