/** Files of text that a user has written. */
import {readFileSync, statSync} from 'node:fs';
import {decodeUtf8, MAX_JSON_BYTES} from '../files/json';

/**
 * The text of a file, without the byte order mark that editors on Windows put at the start.
 *
 * @throws if it cannot be read, is not UTF-8, or has more than 100 MB.
 */
export function readUtf8(path: string): string {
  const {size} = statSync(path);
  if (size > MAX_JSON_BYTES)
    throw new Error(`${path} has ${size} bytes; no more than ${MAX_JSON_BYTES} are read`);
  return withoutMark(decodeUtf8(path, readFileSync(path)));
}

/** Text without that mark. */
export function withoutMark(text: string): string {
  return text.replace(/^\uFEFF/, '');
}
