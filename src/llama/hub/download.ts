/** Downloads a content into the cache. What has come stays if it breaks off, and the next download goes on with it. */
import {createHash, type Hash} from 'node:crypto';
import {createReadStream} from 'node:fs';
import {mkdir, open, rename, rm} from 'node:fs/promises';
import {dirname} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {partOf, type Answer} from '../../files/http_get';
import {sizeOf} from './cache';
import type {HubFile} from './describe_model';
import {ask, HubUnreachableError, type Asked} from './hub_request';

/** Bytes that an attempt must bring to count as none that has failed. */
const PROGRESS = 2 ** 16;

/** What is downloaded. */
export interface Wanted extends HubFile {
  /** What messages call it. */
  path: string;
  url: string;
}

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
  const {owner} = asked;
  const partial = `${blob}.owlore.partial`;
  await write(() => mkdir(dirname(blob), {recursive: true}));
  for (;;) {
    const earlier = await sizeOf(partial);
    const hash = await complete(asked, wanted, partial, write, onProgress);
    if (hash === wanted.hash) break;
    await write(() => rm(partial, {force: true}));
    // what came earlier may have been damaged, as when a machine goes down
    if (earlier) continue;
    throw new Error(
      `${owner}: GET ${wanted.url} has brought another file than the Hub describes: its ${wanted.algorithm} is ` +
        `${hash}, not ${wanted.hash}; it was changed during the download, or by what is between the Hub and here. Try again`,
    );
  }
  await write(() => rename(partial, blob));
}

/** Downloads what is missing in `partial`; returns the hash of all. */
async function complete(
  asked: Asked,
  wanted: Wanted,
  partial: string,
  write: Writer,
  onProgress: (bytes: number) => void,
): Promise<string> {
  const {size} = wanted;
  let hash = newHash(wanted);
  const file = await write(() => open(partial, 'a'));
  try {
    let done = (await file.stat()).size;
    if (done > size) done = await restart();
    if (done > 0) {
      const earlier = createReadStream(partial, {end: done - 1});
      for await (const piece of earlier) hash.update(piece as Buffer);
    }
    onProgress(done);
    for (let failures = 0; done < size;) {
      const before = done;
      try {
        const answer = await askFrom(asked, wanted, done);
        try {
          if (answer.response.status !== 206 && done > 0) done = await restart();
          for await (const piece of piecesOf(answer)) {
            if (done + piece.length > size) throw tooLong(asked, wanted);
            await write(() => file.appendFile(piece));
            hash.update(piece);
            done += piece.length;
            onProgress(done);
          }
        } finally {
          await answer.cancel();
        }
        if (done < size)
          throw new HubUnreachableError(
            `${asked.owner}: GET ${wanted.url} ended after ${done} of ${size} bytes`,
          );
      } catch (error) {
        if (!(error instanceof HubUnreachableError)) throw error;
        if (done - before >= PROGRESS) failures = 0;
        const pause = asked.pauses[failures++];
        if (pause === undefined) throw brokenOff(error, wanted, done);
        await sleep(1000 * pause, undefined, {signal: asked.request.signal ?? undefined});
      }
    }
    await write(() => file.sync());
    return hash.digest('hex');
  } finally {
    await file.close();
  }

  async function restart(): Promise<number> {
    await write(() => file.truncate(0));
    hash = newHash(wanted);
    return 0;
  }
}

/** The answer with a content from a byte on, or with all of it (status 200). */
async function askFrom(asked: Asked, {url, path, size}: Wanted, from: number): Promise<Answer> {
  const answer = await ask(asked, url, from > 0 ? {range: `bytes=${from}-`} : {});
  const part = answer.response.status === 206 ? partOf(answer) : {from: 0, size};
  if (part?.size === size && (part.from === from || answer.response.status !== 206)) return answer;
  await answer.cancel();
  throw new Error(
    `${asked.owner}: ${path} should have ${size} bytes, and GET ${url} for those from ${from} on answered with ` +
      `'${answer.response.headers.get('content-range')}'; it was changed while it was downloaded. Try again`,
  );
}

async function* piecesOf(answer: Answer): AsyncGenerator<Uint8Array> {
  for (;;) {
    const piece = await answer.next().catch((cause: unknown) => {
      throw new HubUnreachableError((cause as Error).message, {cause});
    });
    if (piece === null) return;
    yield piece;
  }
}

function newHash({algorithm, size}: HubFile): Hash {
  return algorithm === 'sha256'
    ? createHash('sha256')
    : createHash('sha1').update(`blob ${size}\0`);
}

function tooLong({owner}: Asked, {url, size}: Wanted): Error {
  return new Error(
    `${owner}: GET ${url} gives more than ${size} bytes, which the Hub says the file has; it was changed while it was ` +
      'downloaded. Try again',
  );
}

function brokenOff(error: Error, {size}: Wanted, done: number): Error {
  return new HubUnreachableError(
    `${error.message}. ${done} of ${size} bytes have come and stay; the next download goes on with them`,
    {cause: error},
  );
}
