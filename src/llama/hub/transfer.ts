/** Brings a content from the Hub, or the rest of one. What has come stays if it breaks off, and the next time goes on with it. */
import {partOf, type Answer} from '../../files/http_get';
import type {HubFile} from './describe_model';
import {ask, HubUnreachableError, type Asked} from './hub_request';

/** Bytes that an attempt must bring to count as none that has failed. */
const PROGRESS = 2 ** 16;

/** What is wanted. */
export interface Wanted extends HubFile {
  /** What messages call it. */
  path: string;
  url: string;
}

/** What of a content has come. */
export interface Arrived {
  /** In bytes. */
  readonly size: number;
  pieces(): AsyncIterable<Uint8Array>;
  append(piece: Uint8Array): Promise<void>;
  /** Forgets all of it. */
  clear(): Promise<void>;
}

/** Of an algorithm that the Hub names. */
export interface Hash {
  update(bytes: Uint8Array): unknown;
  hex(): string;
}

/**
 * Brings what is missing, and checks size and hash of all.
 *
 * @param newHash A hash of nothing, of what `wanted` says.
 * @param onProgress Called with the bytes that are there, first with those that were there before.
 * @throws Error if it cannot be read or kept, or is another content than the Hub has described.
 */
export async function transfer(
  asked: Asked,
  wanted: Wanted,
  arrived: Arrived,
  newHash: () => Hash,
  onProgress: (bytes: number) => void,
): Promise<void> {
  for (;;) {
    const earlier = arrived.size;
    const hash = await complete(asked, wanted, arrived, newHash, onProgress);
    if (hash === wanted.hash) return;
    await arrived.clear();
    // what came earlier may have been damaged, as when a machine goes down
    if (earlier > 0) continue;
    throw new Error(
      `${asked.owner}: GET ${wanted.url} has brought another file than the Hub describes: its ${wanted.algorithm} is ` +
        `${hash}, not ${wanted.hash}; it was changed during the download, or by what is between the Hub and here. Try again`,
    );
  }
}

/** Brings what is missing; returns the hash of all. */
async function complete(
  asked: Asked,
  wanted: Wanted,
  arrived: Arrived,
  newHash: () => Hash,
  onProgress: (bytes: number) => void,
): Promise<string> {
  const {size} = wanted;
  if (arrived.size > size) await arrived.clear();
  let hash = newHash();
  for await (const piece of arrived.pieces()) hash.update(piece);
  onProgress(arrived.size);
  for (let failures = 0; arrived.size < size;) {
    const before = arrived.size;
    try {
      const answer = await askFrom(asked, wanted, before);
      try {
        if (answer.response.status !== 206 && before > 0) {
          await arrived.clear();
          hash = newHash();
        }
        for await (const piece of piecesOf(answer)) {
          if (arrived.size + piece.length > size) throw tooLong(asked, wanted);
          await arrived.append(piece);
          hash.update(piece);
          onProgress(arrived.size);
        }
      } finally {
        await answer.cancel();
      }
      if (arrived.size < size)
        throw new HubUnreachableError(
          `${asked.owner}: GET ${wanted.url} ended after ${arrived.size} of ${size} bytes`,
        );
    } catch (error) {
      if (!(error instanceof HubUnreachableError)) throw error;
      if (arrived.size - before >= PROGRESS) failures = 0;
      const pause = asked.pauses[failures++];
      if (pause === undefined) throw brokenOff(error, wanted, arrived.size);
      await sleep(1000 * pause, asked.request.signal);
    }
  }
  return hash.hex();
}

/** @throws the signal's reason when it is aborted. */
function sleep(milliseconds: number, signal?: AbortSignal | null): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      signal?.removeEventListener('abort', end);
      clearTimeout(timer);
      if (signal?.aborted) reject(signal.reason as Error);
      else resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal?.addEventListener('abort', end);
    if (signal?.aborted) end();
  });
}

/** The answer with a content from a byte on, or with all of it (status 200). */
async function askFrom(asked: Asked, {url, path, size}: Wanted, from: number): Promise<Answer> {
  const answer = await ask(asked, url, from > 0 ? {range: `bytes=${from}-`} : {});
  const {status, type, headers} = answer.response;
  if (status !== 206) return answer;
  const part = partOf(answer);
  // a host need not show a page where the part begins; the hash will
  const isHidden = type === 'cors' && !headers.has('content-range');
  if (isHidden || (part?.size === size && part.from === from)) return answer;
  await answer.cancel();
  throw new Error(
    `${asked.owner}: ${path} should have ${size} bytes, and GET ${url} for those from ${from} on answered with ` +
      `'${headers.get('content-range')}'; it was changed while it was downloaded. Try again`,
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
