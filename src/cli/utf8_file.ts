/** Files of text that a user has written. */
import {readFileSync} from 'node:fs';
import {decodeUtf8} from '../files/json';

/**
 * The text of a file, without the byte order mark that editors on Windows put at the start.
 *
 * @throws if it cannot be read, or is not UTF-8.
 */
export function readUtf8(path: string): string {
  return withoutMark(decodeUtf8(path, readFileSync(path)));
}

/** Text without that mark. */
export function withoutMark(text: string): string {
  return text.replace(/^\uFEFF/, '');
}
