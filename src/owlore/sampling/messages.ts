/** What a {@link LayerSamplingCallback} says on the console. */
import {callbackName} from './options';
import type {BlockNames} from './block_probabilities';
import {MISSED_BATCHES} from './step_counter';

/** The blocks that are left out, or that there are none; null if all can be drawn. */
export function leftOutLine({all, candidates}: BlockNames): string | null {
  if (all.length === 0) {
    return `${callbackName}: the model has no blocks to draw from (see findBlocks): all of it trains in every step`;
  }
  const leftOut = all.filter((name) => !candidates.includes(name));
  if (leftOut.length === 0) return null;
  return (
    `${callbackName}: blocks without a trainable weight are not drawn: ${leftOut.join(', ')} ` +
    `(${leftOut.length} of ${all.length})`
  );
}

/** A training that is too short to visit its blocks. */
export function tooShortLine(
  visits: number,
  blocks: number,
  {steps, interval}: {steps: number; interval: number},
): string {
  const way = interval > 1 ? 'a smaller interval or more steps' : 'more steps or a larger gamma';
  return `${callbackName}: at most ${visits} of ${blocks} blocks can be trained in so few steps (${steps}, with other blocks every ${interval}); use ${way}`;
}

/** A training that has ended within a step. */
export function openStepLine({
  accumulated,
  accumulate,
}: Readonly<Record<'accumulated' | 'accumulate', number>>): string {
  return (
    `${callbackName}: the last step has ${accumulated} of its ${accumulate} calls: it goes on in the next training, ` +
    'optimizer.flush() makes it of these, optimizer.dispose() drops them'
  );
}

/** A loop that calls the optimizer and not the callback. */
export const unannouncedLine =
  `${callbackName}: the optimizer has made ${MISSED_BATCHES} steps without a call of callback.step(), which draws and freezes ` +
  'the blocks: call it before each call of the optimizer, and callback.restore() after the loop';

/** A callback that is used for two models in turns. */
export const anotherModelLine = `${callbackName}: it has trained another model since, and starts anew; models trained in turns need a callback each`;
