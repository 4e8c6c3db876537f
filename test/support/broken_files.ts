import {open, type FileHandle} from 'node:fs/promises';
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

/** Runs `body` while a method of all open files fails. */
export function withBroken<T>(method: Method, body: () => Promise<T>): Promise<T> {
  const error = Object.assign(new Error(`EIO: i/o error, ${method}`), {code: 'EIO'});
  return withMethod(method, () => () => Promise.reject(error), body);
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
