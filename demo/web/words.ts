/** Figures and names as texts, without `Intl`, whose tables take the browser long to load. */

import type {SampleTextEvent, StatusEvent} from './library';

const nbsp = '\u00a0';

/** A size, such as 181 MB. */
export function bytesText(bytes: number): string {
  const text = (unit: number, digits: number): string => (bytes / unit).toFixed(digits);
  if (bytes >= 999.5e6) return `${text(1e9, bytes < 9.995e9 ? 2 : 1)}${nbsp}GB`;
  if (bytes >= 999e3) return `${text(1e6, bytes < 99.95e6 ? 1 : 0)}${nbsp}MB`;
  return `${Math.ceil(bytes / 1e3)}${nbsp}kB`;
}

/** A duration, such as 1 min 20 s. */
export function secondsText(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}${nbsp}s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}${nbsp}min ${whole % 60}${nbsp}s`;
  return `${Math.floor(minutes / 60)}${nbsp}h ${minutes % 60}${nbsp}min`;
}

/** A count, such as 1,710,000. */
export function countText(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** A large count, such as 1.71 million. */
export function largeCountText(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(2)}${nbsp}billion`;
  if (count >= 1e6) return `${(count / 1e6).toFixed(count < 1e8 ? 2 : 0)}${nbsp}million`;
  return countText(count);
}

/** How many examples can be used of those that there are, such as 24 of 36 examples. */
export function examplesText(usable: number, all: number): string {
  const of = usable === all ? '' : `${countText(usable)} of `;
  return `${of}${countText(all)} ${all === 1 ? 'example' : 'examples'}`;
}

/** A day and its time, such as 31 Jan 2026, 9:05. */
export function timeText(time: number): string {
  const date = new Date(time);
  const [, month, day, year] = date.toDateString().split(' ');
  return `${Number(day)} ${month} ${year}, ${date.getHours()}:${String(date.getMinutes()).padStart(2, '0')}`;
}

/** A loss, to three digits; a dash for what is not there yet. */
export function lossText(loss: number | null | undefined): string {
  return loss == null ? '–' : Number.isFinite(loss) ? loss.toFixed(3) : 'not finite';
}

/** Which loss of a run there is, and its value: the held-out one, else that of the last step; null where there is neither. */
export function runLossText(run: {heldOut: number | null; loss: number | null}): string | null {
  if (run.heldOut !== null) return `held-out loss ${lossText(run.heldOut)}`;
  return run.loss === null ? null : `loss ${lossText(run.loss)} of the last step`;
}

/** A learning rate, as short as it can be. */
export function rateText(rate: number): string {
  return rate >= 1e-3 || rate === 0
    ? String(Number(rate.toPrecision(3)))
    : rate.toExponential(2).replace(/\.?0+e/, 'e');
}

/** A part of one, such as 62 %. */
export function percentText(part: number): string {
  return `${Math.round(100 * part)}${nbsp}%`;
}

/** What a model has written, with a sign where it was cut. */
export function writtenText({text, isCut}: Pick<SampleTextEvent, 'text' | 'isCut'>): string {
  return isCut ? `${text.trimEnd()}…` : text;
}

/** What a worker is at, and how far it is where that is known. */
export function statusText({phase, text, done, total}: StatusEvent): string {
  const words = text.charAt(0).toUpperCase() + text.slice(1);
  // of a long text nobody knows yet how many examples it has
  if (phase === 'data' && done && total === undefined) return `${words}: ${countText(done)} so far`;
  if (done === undefined || total === undefined) return `${words} …`;
  if (phase === 'data' || phase === 'heldOut') return `${words}: ${percentText(done / total)}`;
  const amount = phase === 'model' ? bytesText : countText;
  return `${words}: ${amount(done)} of ${amount(total)}`;
}

/** What turns the text around it, or cannot be seen. */
const NOT_SHOWN = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
const LONGEST_NAME = 80; // letters

/** The name of a file within a sentence, which it leaves as it is; of a long one the middle is left out. */
export function nameText(name: string): string {
  const letters = Array.from(name.replace(NOT_SHOWN, '\ufffd'));
  return letters.length <= LONGEST_NAME
    ? letters.join('')
    : `${letters.slice(0, 50).join('')}…${letters.slice(-20).join('')}`;
}
