import {styleText} from 'node:util';
import {Help} from 'commander';
import type {OutputStream} from './console';

/** A text in bold or dim letters. The caller checks that the stream can show them. */
export function style(as: 'bold' | 'dim', text: string): string {
  return styleText(as, text, {validateStream: false});
}

/** All control characters but tabs and line ends, and those that turn the direction of a line around. */
// eslint-disable-next-line no-control-regex -- they are what it looks for
const CONTROLS = /(?!\t|\r?\n)[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

/** A text whose control characters can be seen and do nothing: a terminal would obey those in a name of a stranger's file. */
export function withVisibleControls(text: string): string {
  return text.replace(CONTROLS, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** A line broken between words to fit the terminal; unchanged if the stream is no terminal. */
export function inWidth(line: string, {isTTY, columns}: OutputStream): string {
  return isTTY && columns !== undefined ? new Help().boxWrap(line, columns) : line;
}
