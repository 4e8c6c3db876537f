/** Files that are there in full or not at all. */
import {existsSync, readFileSync, renameSync, writeFileSync} from 'node:fs';

/** Writes all of a file or nothing. */
export function writeWhole(path: string, text: string): void {
  writeFileSync(`${path}.partial`, text);
  renameSync(`${path}.partial`, path);
}

/** Where a command whose result was to be in a file leaves its error, as JSON. */
export function failureOf(result: string): string {
  return `${result}.failed`;
}

/** JSON of a file; null if it is not there. */
export function jsonIn<T>(path: string): T | null {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as T) : null;
}
