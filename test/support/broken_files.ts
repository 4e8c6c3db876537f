import {open, type FileHandle} from 'node:fs/promises';
import {fileURLToPath} from 'node:url';

/** Runs `body` while a method of all open files (of `node:fs/promises`) fails. */
export async function withBroken<T>(
  method: 'read' | 'stat' | 'sync',
  body: () => Promise<T>,
): Promise<T> {
  const handle = await open(fileURLToPath(import.meta.url));
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  const original = prototype[method];
  const broken = () =>
    Promise.reject(Object.assign(new Error(`EIO: i/o error, ${method}`), {code: 'EIO'}));
  Object.assign(prototype, {[method]: broken});
  try {
    return await body();
  } finally {
    Object.assign(prototype, {[method]: original});
  }
}
