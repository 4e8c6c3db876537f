import fs from 'node:fs';
import {open, type FileHandle} from 'node:fs/promises';
import {syncBuiltinESMExports} from 'node:module';
import {fileURLToPath} from 'node:url';

type Method = 'read' | 'stat' | 'sync';

/** Runs `body` while a method of all open files (of `node:fs/promises`) is another one, made of the real one. */
async function withMethod<T>(
  method: Method,
  make: (original: (...args: unknown[]) => unknown) => (...args: unknown[]) => unknown,
  body: () => Promise<T>,
): Promise<T> {
  const handle = await open(fileURLToPath(import.meta.url));
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  const original = Reflect.get(prototype, method) as (...args: unknown[]) => unknown;
  Object.assign(prototype, {[method]: make(original)});
  try {
    return await body();
  } finally {
    Object.assign(prototype, {[method]: original});
  }
}

/** The error of a disk that fails. */
export function brokenDisk(what: string): Error {
  return Object.assign(new Error(`EIO: i/o error, ${what}`), {code: 'EIO'});
}

/**
 * Runs `body` while a method of all open files fails.
 *
 * @param before Calls that do not fail yet.
 */
export function withBroken<T>(method: Method, body: () => Promise<T>, before = 0): Promise<T> {
  let calls = 0;
  return withMethod(
    method,
    (original) =>
      function (this: FileHandle, ...args) {
        return calls++ < before ? original.apply(this, args) : Promise.reject(brokenDisk(method));
      },
    body,
  );
}

/** Runs `body` while functions of `node:fs` are others, for all who have imported them. */
export function withFunctions<T>(others: Partial<typeof fs>, body: () => T): T {
  const giveBack = replaceFunctions(fs, others);
  try {
    return body();
  } finally {
    giveBack();
  }
}

/** The same with functions of `node:fs/promises`. */
export async function withAsyncFunctions<T>(
  others: Partial<typeof fs.promises>,
  body: () => Promise<T>,
): Promise<T> {
  const giveBack = replaceFunctions(fs.promises, others);
  try {
    return await body();
  } finally {
    giveBack();
  }
}

function replaceFunctions<T extends object>(library: T, others: Partial<T>): () => void {
  const originals = Object.fromEntries(
    Object.keys(others).map((name) => [name, Reflect.get(library, name)]),
  );
  const put = (functions: object): void => {
    Object.assign(library, functions);
    syncBuiltinESMExports();
  };
  put(others);
  return () => put(originals);
}

/** Runs `body` while a read of a file gives no more than 7 bytes, as systems may. */
export function withShortReads<T>(body: () => Promise<T>): Promise<T> {
  return withMethod(
    'read',
    (read) =>
      function (this: FileHandle, bytes, offset, length, position) {
        return read.call(this, bytes, offset, Math.min(length as number, 7), position);
      },
    body,
  );
}
