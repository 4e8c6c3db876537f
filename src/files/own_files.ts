/**
 * Files that a program keeps for itself in a folder that may come from a stranger: made new, and never through a link, so that nothing
 * elsewhere is written to; only for Node.
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import {hostname} from 'node:os';
import {basename, dirname, join} from 'node:path';
import {StringDecoder} from 'node:string_decoder';
import {temporaryNameOf} from './folder_commit';
import {thisProcess} from './writing_process';

/** What may be at a path; `other`: a pipe, a socket or a device. */
export type EntryKind = 'file' | 'folder' | 'link' | 'other';

/** What is at a path, by itself and not where it leads to; null: nothing. */
export function kindOf(path: string): EntryKind | null {
  const stats = lstatSync(path, {throwIfNoEntry: false});
  if (!stats) return null;
  if (stats.isSymbolicLink()) return 'link';
  if (stats.isFile()) return 'file';
  return stats.isDirectory() ? 'folder' : 'other';
}

/** In words, for messages. */
export const kindNames: Readonly<Record<EntryKind, string>> = {
  file: 'a file',
  folder: 'a folder',
  link: 'a link',
  other: 'a pipe or a device',
};

/** Opens a new file, to write at its end; an error if anything is there, be it a link that leads nowhere. */
export function createFile(path: string): number {
  return openSync(path, 'ax');
}

/** Opens a file that is no link, to write at its end. */
export function openToAppend(path: string): number {
  return openFile(path, constants.O_WRONLY | constants.O_APPEND);
}

/**
 * The bytes of a file that is no link.
 *
 * @param maxBytes As many as it may have; default: any number.
 */
export function readFile(path: string, maxBytes = Infinity): Buffer {
  const file = openFile(path, constants.O_RDONLY);
  try {
    checkSize(path, file, maxBytes);
    return readFileSync(file);
  } finally {
    closeSync(file);
  }
}

/** The last bytes of a file that is no link, or all if it has fewer. */
export function readEnd(path: string, bytes: number): Buffer {
  const file = openFile(path, constants.O_RDONLY);
  try {
    const {size} = fstatSync(file);
    const end = Buffer.alloc(Math.min(bytes, size));
    return end.subarray(0, readSync(file, end, 0, end.length, size - end.length));
  } finally {
    closeSync(file);
  }
}

/** Bytes that are read at a time. */
const PIECE_BYTES = 2 ** 20;

/** Of a log, some thousand times. */
const LONGEST_LINE = 1_000_000;

/**
 * The lines of a text that is no link, one after the other in little memory; the last one only if it is not empty. A line of more than a
 * million characters is an error.
 *
 * @param maxBytes As many as the file may have; default: any number.
 */
export function* linesOf(path: string, maxBytes = Infinity): Generator<string, void> {
  const file = openFile(path, constants.O_RDONLY);
  try {
    checkSize(path, file, maxBytes);
    const decoder = new StringDecoder('utf8');
    const bytes = Buffer.alloc(PIECE_BYTES);
    let rest = '';
    for (let length; (length = readSync(file, bytes)) > 0;) {
      const lines = decoder.write(bytes.subarray(0, length)).split('\n');
      lines[0] = rest + lines[0]!;
      rest = lines.pop()!;
      yield* lines;
      if (rest.length > LONGEST_LINE)
        throw new Error(`'${path}' has a line of more than ${LONGEST_LINE} characters`);
    }
    rest += decoder.end();
    if (rest !== '') yield rest;
  } finally {
    closeSync(file);
  }
}

function checkSize(path: string, file: number, maxBytes: number): void {
  const {size} = fstatSync(file);
  if (size <= maxBytes) return;
  throw new Error(`'${path}' has ${size} bytes, where no more than ${maxBytes} can be in it`);
}

function openFile(path: string, flags: number): number {
  // Windows has none of these two; a pipe would be waited for
  const {O_NOFOLLOW = 0, O_NONBLOCK = 0} = constants as Partial<typeof constants>;
  const file = openSync(path, flags | O_NOFOLLOW | O_NONBLOCK);
  if (fstatSync(file).isFile()) return file;
  closeSync(file);
  throw new Error(`'${path}' is not a file`);
}

/** A file that is written beside the one whose place it takes. */
export interface Replacement {
  /** Open at its end; the caller closes it after `put`. */
  file: number;
  /** Puts it in its place, with all that was written to it. */
  put(): void;
  /** Closes and removes it; what it was to replace stays. */
  drop(): void;
}

/**
 * Begins a file that takes the place of what is at a path. That stays until then, and is not written to, also under another name that it
 * may have. The caller has seen that it may be replaced.
 */
export function beginReplacing(path: string): Replacement {
  const writer = thisProcess(encodeURIComponent(hostname()));
  const partial = join(dirname(path), temporaryNameOf(basename(path), writer));
  const file = createFile(partial);
  return {
    file,
    put: () => {
      fsyncSync(file);
      renameSync(partial, path);
    },
    drop: () => {
      closeSync(file);
      rmSync(partial);
    },
  };
}

/**
 * Writes a file, as {@link beginReplacing} does.
 *
 * @returns The file, open at its end; the caller closes it.
 */
export function replaceFile(path: string, content: string | Uint8Array): number {
  const {file, put, drop} = beginReplacing(path);
  try {
    writeFileSync(file, content);
    put();
    return file;
  } catch (error) {
    drop();
    throw error;
  }
}

/** Writes at the end of an open file: all of it, or nothing and an error, as on a full disk. */
export function appendWhole(file: number, content: string | Uint8Array): void {
  const {size} = fstatSync(file);
  try {
    writeFileSync(file, content);
  } catch (error) {
    ftruncateSync(file, size);
    throw error;
  }
}

/** Makes a folder, unless there is one that is no link. */
export function makeFolder(path: string): void {
  if (kindOf(path) !== 'folder') mkdirSync(path);
}
