import {styleText} from 'node:util';
import {Help} from 'commander';

/** A stream that a command writes to. */
export interface OutputStream extends NodeJS.WritableStream {
  isTTY?: boolean;
  /** Characters in a line, of a terminal. */
  columns?: number;
  /** Whether it can show bold and dim letters. */
  hasColors?(): boolean;
}

/** A text in bold, dim or green letters. The caller checks that the stream can show them. */
export function style(as: 'bold' | 'dim' | 'green', text: string): string {
  return styleText(as, text, {validateStream: false});
}

/** All control characters but tabs and line ends, and those that change the direction of a line, or end it. */
const CONTROLS =
  // eslint-disable-next-line no-control-regex -- they are what it looks for
  /(?!\t|\r?\n)[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/**
 * A text whose control characters can be seen and do nothing: a terminal would obey those in a name of a stranger's file. JSON stays
 * the same JSON.
 */
export function withVisibleControls(text: string): string {
  return text.replace(CONTROLS, escaped);
}

/** Such a text in one line. */
export function inOneLine(text: string): string {
  return withVisibleControls(text).replace(/[\t\r\n]/g, escaped);
}

function escaped(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** Fewer columns than a word has are none that anybody reads in: a terminal says so that does not know how many it has. */
const LEAST_COLUMNS = 10;

/** Characters in a line of a terminal, or as many as are taken for those if it does not know. */
export function columnsOf({columns = 0}: OutputStream, unknown = 80): number {
  return columns >= LEAST_COLUMNS ? columns : unknown;
}

/** A line broken between words to fit the terminal; unchanged if the stream is no terminal. */
export function inWidth(line: string, stream: OutputStream): string {
  return stream.isTTY ? new Help().boxWrap(line, columnsOf(stream)) : line;
}
