/** The first batches of a dataset as calibration data for scores. */
import type {CalibrationBatch} from '../owlore/scores/calibration';
import type {TextBatch} from '../llama/index';
import type {CommandConsole} from './console';
import {nextTurn} from '../common/next_turn';

/** At most `count` batches, with a progress bar. The consumer disposes of the tensors. */
export async function* watchedCalibration(
  dataset: AsyncIterable<TextBatch>,
  count: number,
  console: CommandConsole,
): AsyncGenerator<CalibrationBatch> {
  const progress = console.progress({label: 'calibrating', total: count});
  let done = 0;
  for await (const batch of dataset) {
    yield batch;
    progress.update(++done);
    await nextTurn();
    if (done === count) break;
  }
  progress.end();
}
