/** The progress of long operations: a bar in a terminal, a line every few seconds in a file or a pipe. */
import {SingleBar} from 'cli-progress';
import type {OutputStream} from './style';

/** The progress of one operation. */
export interface Progress {
  /** Shows how much of the total is done, and `what` beside it. */
  update(done: number, what?: string): void;
  /** Writes a line without getting in the bar's way. */
  line(text: string): void;
  end(): void;
}

/** What the progress of an operation looks like. */
export interface ProgressOptions {
  /** The name of the operation, such as `loading`. */
  label: string;
  /** How much there is to do. */
  total: number;
  /** How much of it was done before, at no cost of time; default 0. */
  done?: number;
  /** Writes how much is done; default `3/20`. */
  count?: (done: number, total: number) => string;
}

/** Seconds to the first line where there is no terminal, and from each to the next. */
const [SECONDS_TO_FIRST_LINE, SECONDS_BETWEEN_LINES] = [1, 5];

/** Shows the progress of an operation on `stream` until `end` is called. */
export function startProgress(stream: OutputStream, options: ProgressOptions): Progress {
  return stream.isTTY ? progressBar(stream, options) : plainLines(stream, options);
}

/** A `count` for bytes: `3.1/9.4 MB`. */
export function countMegabytes(done: number, total: number): string {
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(total < 1e7 ? 1 : 0);
  return `${megabytes(done)}/${megabytes(total)} MB`;
}

function progressBar(
  stream: OutputStream,
  {label, total, done: before = 0, count = countParts}: ProgressOptions,
): Progress {
  const bar = new SingleBar({
    format: '{label}  {bar} {count}  {what}{eta_formatted}',
    formatTime: (seconds) => describeTimeLeft(seconds),
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 16,
    etaBuffer: 40,
    hideCursor: true,
    clearOnComplete: true,
    gracefulExit: false,
    stream,
  });
  let at = before;
  let payload = {label, count: count(before, total), what: ''};
  const start = (): void => bar.start(total, at, payload);
  start();
  return {
    update: (done, what) => {
      at = done;
      payload = {label, count: count(done, total), what: what === undefined ? '' : `${what}  `};
      bar.update(done, payload);
    },
    line: (text) => {
      bar.stop();
      stream.write(`${text}\n`);
      start();
    },
    end: () => bar.stop(),
  };
}

function plainLines(
  stream: OutputStream,
  {label, total, done: before = 0, count = countParts}: ProgressOptions,
): Progress {
  const start = performance.now();
  let isFirst = true;
  let nextLine = start + 1000 * SECONDS_TO_FIRST_LINE;
  return {
    update: (done, what) => {
      const now = performance.now();
      if (done === total ? isFirst : now < nextLine) return;
      isFirst = false;
      nextLine = now + 1000 * SECONDS_BETWEEN_LINES;
      const left = describeTimeLeft(((now - start) / 1000 / (done - before)) * (total - done));
      stream.write(`${[label, count(done, total), what, left].filter(Boolean).join('  ')}\n`);
    },
    line: (text) => void stream.write(`${text}\n`),
    end: () => undefined,
  };
}

function countParts(done: number, total: number): string {
  return `${done}/${total}`;
}

/** `1m05s left`; an empty string if the time is not known. */
function describeTimeLeft(seconds: number): string {
  return Number.isFinite(seconds) ? `${describeTime(seconds)} left` : '';
}

/** `9s`, `1m05s`, `2h30m`. */
export function describeTime(seconds: number): string {
  const all = Math.ceil(seconds);
  const two = (count: number): string => String(Math.floor(count)).padStart(2, '0');
  if (all < 60) return `${all}s`;
  if (all < 3600) return `${Math.floor(all / 60)}m${two(all % 60)}s`;
  return `${Math.floor(all / 3600)}h${two((all % 3600) / 60)}m`;
}
