/** Downloads a content into the cache. */
import {createHash} from 'node:crypto';
import {createReadStream} from 'node:fs';
import {mkdir, open, rename, rm} from 'node:fs/promises';
import {dirname} from 'node:path';
import type {HubFile} from './describe_model';
import type {Asked} from './hub_request';
import {transfer, type Hash, type Wanted} from './transfer';

/** Runs what writes to the cache, and says what an error is about. */
type Writer = <T>(body: () => Promise<T>) => Promise<T>;

/**
 * Downloads a content, or the rest of one, and checks its size and hash.
 *
 * @param blob The path that it gets when all of it is there.
 * @param write Runs each call that writes.
 * @param onProgress Called with the bytes that are there, first with those of an earlier download.
 * @throws Error if it cannot be read or written, or is another one than the Hub has described.
 */
export async function download(
  asked: Asked,
  wanted: Wanted,
  blob: string,
  write: Writer,
  onProgress: (bytes: number) => void,
): Promise<void> {
  const partial = `${blob}.owlore.partial`;
  await write(() => mkdir(dirname(blob), {recursive: true}));
  const file = await write(() => open(partial, 'a'));
  let size = (await file.stat()).size;
  try {
    const arrived = {
      get size() {
        return size;
      },
      async *pieces() {
        if (size > 0) yield* createReadStream(partial, {end: size - 1}) as AsyncIterable<Buffer>;
      },
      async append(piece: Uint8Array) {
        await write(() => file.appendFile(piece));
        size += piece.length;
      },
      async clear() {
        await write(() => file.truncate(0));
        size = 0;
      },
    };
    await transfer(asked, wanted, arrived, () => newHash(wanted), onProgress);
    await write(() => file.sync());
  } finally {
    await file.close();
    if (size === 0 && wanted.size > 0) await rm(partial);
  }
  await write(() => rename(partial, blob));
}

function newHash({algorithm, size}: HubFile): Hash {
  const hash =
    algorithm === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`);
  return {update: (bytes) => hash.update(bytes), hex: () => hash.digest('hex')};
}
