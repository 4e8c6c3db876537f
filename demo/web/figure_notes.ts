/** What stands below the losses: where their lines began, and of which step they are. */
import type {RunLog} from './run_log';
import {countText, lossText} from './words';

/** Of the smoothed loss. */
export function lossNote({smoothed}: RunLog): string {
  return smoothed.length > 1 ? `smoothed, from ${lossText(smoothed[0])}` : 'smoothed';
}

/** Of the held-out loss, which is measured now and then. */
export function heldOutNote({heldOut}: RunLog): string {
  const [first] = heldOut;
  const last = heldOut.at(-1);
  if (!first || !last) return 'on text it never trains on';
  const at = `at step ${countText(last.step)}`;
  return first === last ? at : `${at}, from ${lossText(first.loss)}`;
}
