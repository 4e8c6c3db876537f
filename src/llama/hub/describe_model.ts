/** What the Hub has of a model: its commit and its files, with their sizes and hashes. */
import {isObject, MAX_JSON_BYTES, parseJsonObject, show} from '../../files/json';
import {ask, HubUnreachableError, type Asked} from './hub_request';

/** A content, by its hash. */
export interface HubFile {
  size: number;
  /** In hexadecimal; the name of the content in the cache. */
  hash: string;
  /** Git's is the SHA-1 of the content behind a header with its size. */
  algorithm: 'sha256' | 'git-sha1';
}

export interface HubModel {
  commit: string;
  /** By path. */
  files: ReadonlyMap<string, HubFile>;
}

/** Milliseconds after which the cache is used if the Hub keeps silent, unless the request says. */
const LONGEST_SILENCE = 10_000;

/**
 * Asks the Hub for a revision of a model.
 *
 * @throws HubUnreachableError, or Error, as `ask`. Error if the answer is not what the Hub answers.
 */
export async function describeModel(asked: Asked): Promise<HubModel> {
  const {owner, name, settings} = asked;
  const {id, revision} = name;
  const url = `${settings.endpoint}/api/models/${id}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const answer = await ask(asked, url, {}, LONGEST_SILENCE);
  const pieces: Uint8Array[] = [];
  let length = 0;
  try {
    for (let piece = await answer.next(); piece; piece = await answer.next()) {
      pieces.push(piece);
      length += piece.length;
      if (length > MAX_JSON_BYTES)
        throw new Error(`${owner}: GET ${url} gives more than ${MAX_JSON_BYTES} bytes`);
    }
  } catch (error) {
    asked.request.signal?.throwIfAborted();
    if (length > MAX_JSON_BYTES) throw error;
    throw new HubUnreachableError((error as Error).message, {cause: error});
  } finally {
    await answer.cancel();
  }
  const from = `${owner}: the answer to GET ${url}`;
  return readModel(
    from,
    parseJsonObject(from, new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer())),
  );
}

function readModel(from: string, {sha, siblings}: Record<string, unknown>): HubModel {
  if (typeof sha !== 'string' || !/^[\da-f]{40}$/.test(sha) || !Array.isArray(siblings))
    throw new Error(`${from} does not describe a model; is HF_ENDPOINT a Hub?`);
  const files = siblings.map((entry: unknown): [string, HubFile] => {
    const {rfilename: path, size, blobId, lfs} = isObject(entry) ? entry : {};
    const [hash, digits] = isObject(lfs) ? [lfs['sha256'] ?? lfs['oid'], 64] : [blobId, 40];
    const isRight =
      typeof path === 'string' &&
      Number.isSafeInteger(size) &&
      (size as number) >= 0 &&
      typeof hash === 'string' &&
      hash.length === digits &&
      /^[\da-f]+$/.test(hash);
    if (isRight)
      return [path, {size: size as number, hash, algorithm: digits === 64 ? 'sha256' : 'git-sha1'}];
    throw new Error(`${from} must give size and hash of each file; got ${show(entry)}`);
  });
  return {commit: sha, files: new Map(files)};
}
