import {checkNumber} from '../common/options';
import {
  get,
  partOf,
  rangeOf,
  SilenceError,
  TIMEOUT,
  timeoutRange,
  type Answer,
  type Requested,
} from './http_get';
import {sayOnce} from '../common/say_once';
import type {FileSource, RequestOptions, SourceFile} from './source';
import {checkSourcePath} from './source_path';

/** Bytes requested when a file is opened: enough for a small file, and for most headers of large ones. */
const FIRST_BYTES = 2 ** 16;

/**
 * Bytes requested at least where a read goes on at the end of the last one: of a model's small tensors, each would otherwise wait for an
 * answer of its own.
 */
const BYTES_AHEAD = 2 ** 20;

/** Where a server does not say how long a file is, it must end before this many bytes. */
const MAX_UNANNOUNCED_BYTES = 2 ** 28;

interface Server extends Requested {
  path: string;
}

/**
 * The files below a base URL, by `fetch`. Parts of a file come by range requests. If the server does not
 * support them, the file is streamed from its start and bytes that are not asked for are dropped; such files
 * are best read front to back.
 */
export function urlSource(
  owner: string,
  base: string,
  {timeout = TIMEOUT, ...request}: RequestOptions,
): FileSource {
  if (!URL.canParse(base)) throw new Error(`${owner}: '${base}' is not a URL`);
  checkNumber(owner, 'request.timeout (in milliseconds)', timeout, timeoutRange);
  /** Whether a file has come. */
  let gives = false;
  return {
    name: base,
    async open(path) {
      checkSourcePath(owner, path);
      const server = {owner, url: fileUrl(base, path), path, request, timeout};
      const answer = await get(server, rangeOf(0, FIRST_BYTES));
      const {status, headers} = answer.response;
      // servers of single-page apps have their page in the place of what is not there
      const isPage = headers.get('content-type')?.startsWith('text/html') && !/\.html?$/.test(path);
      gives ||= answer.response.ok && !isPage;
      if (status === 206 && !isPage) return (await rangedFile(server, answer)) ?? wholeFile(server);
      if (status === 200 && !isPage) return wholeFile(server, answer);
      await answer.cancel();
      if (isPage || status === 404 || status === 410) return null;
      if (gives && status === 403) {
        // storage such as S3's forbids what is not there to those who may read files and not list them
        sayOnce('info', `${owner}: files that ${base} answers with 403 count as missing`);
        return null;
      }
      // the response to a range request for an empty file
      if (headers.get('content-range') === 'bytes */0') return emptyFile(path);
      throw refused(server, answer);
    },
  };
}

/** `path` below `base`, which keeps its query. */
function fileUrl(base: string, path: string): string {
  const url = new URL(base);
  const encoded = path.split('/').map(encodeURIComponent).join('/');
  url.pathname = `${url.pathname.replace(/\/$/, '')}/${encoded}`;
  return url.href;
}

function refused({owner, url}: Server, {response: {status, statusText}}: Answer): Error {
  const way =
    status === 401 || status === 403
      ? '; the option `request` takes headers, such as {headers: {authorization: …}}'
      : '';
  return new Error(`${owner}: GET ${url} answered ${`${status} ${statusText}`.trim()}${way}`);
}

/** What tells one state of a file from another, where the server sends it. */
const VALIDATORS = ['etag', 'last-modified'] as const;

/** Throws if an answer is about another state of the file than the first one. */
function checkUnchanged({owner, url}: Server, first: Answer, later: Answer): void {
  for (const name of VALIDATORS) {
    const [before, now] = [first.response.headers.get(name), later.response.headers.get(name)];
    if (before === null || now === null || before === now) continue;
    throw new Error(
      `${owner}: ${url} had ${name} ${before} and now has ${now}; it was changed while it was read`,
    );
  }
}

/** With it, the server sends all of a file that has changed, and not a part of its new state. */
function ifUnchanged({response: {headers, type}}: Answer): Record<string, string> {
  const etag = headers.get('etag');
  // a weak tag promises no equal bytes; to another origin, a page would have to ask first whether it may send the header
  return etag === null || etag.startsWith('W/') || type === 'cors' ? {} : {'if-range': etag};
}

/** A file that the server sends by ranges; null if it does not say how large the file is. */
async function rangedFile(server: Server, opening: Answer): Promise<SourceFile | null> {
  const {owner, url} = server;
  const size = partOf(opening)?.size;
  if (size === undefined) {
    await opening.cancel();
    return null;
  }
  const fetchPart = async (from: number, to: number): Promise<Uint8Array> => {
    const answer = await get(server, {...rangeOf(from, to), ...ifUnchanged(opening)});
    try {
      checkUnchanged(server, opening, answer);
      if (answer.response.status !== 206) throw refused(server, answer);
      if (partOf(answer)?.size !== size) {
        throw new Error(
          `${owner}: ${url} had ${size} bytes and now answers with ` +
            `'${answer.response.headers.get('content-range')}'; it was changed while it was read`,
        );
      }
      return await bodyOf(server, answer, from, to);
    } catch (error) {
      await answer.cancel();
      throw error;
    }
  };
  const first = await bodyOf(server, opening, 0, Math.min(size, FIRST_BYTES));
  let ahead = {from: 0, bytes: first};
  let lastEnd = 0;
  return {
    path: server.path,
    size,
    async read(from, to) {
      const goesOn = from === lastEnd;
      lastEnd = to;
      if (to === from) return new Uint8Array();
      if (to <= first.length) return first.subarray(from, to);
      if (from < ahead.from || to > ahead.from + ahead.bytes.length) {
        ahead = {from, bytes: new Uint8Array()}; // it makes room before the next ones come
        const end = goesOn ? Math.max(to, Math.min(size, from + BYTES_AHEAD)) : to;
        ahead.bytes = await fetchPart(from, end);
      }
      return ahead.bytes.subarray(from - ahead.from, to - ahead.from);
    },
    close: async () => undefined,
  };
}

/** Bytes `from` to before `to` of a file, which must be what an answer has. */
async function bodyOf(
  server: Server,
  answer: Answer,
  from: number,
  to: number,
): Promise<Uint8Array> {
  const request = `${server.owner}: GET ${server.url} for bytes ${from} to ${to - 1}`;
  const begin = partOf(answer)!.from;
  const bytes = new Uint8Array(to - from);
  let filled = 0;
  try {
    if (begin !== from) {
      throw new Error(`${request} was answered with bytes from ${begin} on; ${brokenServer}`);
    }
    for (let chunk = await answer.next(); chunk; chunk = await answer.next()) {
      if (filled + chunk.length > bytes.length) {
        throw new Error(`${request} gives more than ${bytes.length} bytes; ${brokenServer}`);
      }
      bytes.set(chunk, filled);
      filled += chunk.length;
    }
  } finally {
    await answer.cancel();
  }
  if (filled === bytes.length) return bytes;
  throw new Error(`${request} should give ${bytes.length} bytes; got ${filled}`);
}

const brokenServer = 'get the files from another server, or copy them to this machine first';

/** A file that the server sends only as a whole. */
async function wholeFile(server: Server, answer?: Answer): Promise<SourceFile> {
  const first = answer ?? (await getWhole(server));
  const stream = new RestartableStream(server, first);
  const size = lengthOf(first) ?? (await stream.skipToEnd());
  return {
    path: server.path,
    size,
    isStreamed: true,
    read: (from, to) => stream.read(from, to),
    close: () => stream.close(),
  };
}

async function getWhole(server: Server): Promise<Answer> {
  const answer = await get(server);
  if (answer.response.status === 200) return answer;
  await answer.cancel();
  throw refused(server, answer);
}

/** How long the body will be, where the server says so. */
function lengthOf({response: {headers}}: Answer): number | null {
  const length = headers.get('content-length');
  // with a content encoding, the header is the length of the encoded body
  return length === null || headers.has('content-encoding') ? null : Number(length);
}

function emptyFile(path: string): SourceFile {
  return {path, size: 0, read: async () => new Uint8Array(), close: async () => undefined};
}

/** The body of an answer, which is requested again if a read goes back. */
class RestartableStream {
  /** Null if it is not being read. */
  private answer: Answer | null;
  /** How many bytes of the file have been taken. */
  private position = 0;
  /** Bytes that have arrived and are not taken yet. */
  private rest: Uint8Array = new Uint8Array();

  constructor(
    private readonly server: Server,
    private readonly first: Answer,
  ) {
    this.answer = first;
  }

  async read(from: number, to: number): Promise<Uint8Array> {
    if (this.answer && from >= this.position) {
      try {
        return await this.take(from, to);
      } catch (error) {
        if (error instanceof SilenceError) throw error;
        // the server may have closed the connection because nothing was read for a while
      }
    }
    await this.restart();
    return this.take(from, to);
  }

  /**
   * Reads on to the end and returns the position there: the size of the file.
   *
   * @throws if it does not end.
   */
  async skipToEnd(): Promise<number> {
    while (await this.next()) {
      if (this.position <= MAX_UNANNOUNCED_BYTES) continue;
      await this.close();
      const {owner, url} = this.server;
      throw new Error(
        `${owner}: the answer to GET ${url} does not say how long it is, and has not ended after ` +
          `${MAX_UNANNOUNCED_BYTES} bytes; ${brokenServer}`,
      );
    }
    return this.position;
  }

  async close(): Promise<void> {
    const {answer} = this;
    this.answer = null;
    await answer?.cancel();
  }

  private async take(from: number, to: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(to - from);
    while (this.position < to) {
      const start = this.position;
      const chunk = await this.next();
      if (!chunk) {
        throw new Error(
          `${this.server.owner}: the answer to GET ${this.server.url} ended after ${start} bytes`,
        );
      }
      const taken = Math.min(chunk.length, to - start);
      const skipped = Math.min(Math.max(from - start, 0), taken);
      if (skipped < taken) bytes.set(chunk.subarray(skipped, taken), start + skipped - from);
      this.rest = chunk.subarray(taken);
      this.position = start + taken;
    }
    return bytes;
  }

  /** The next bytes, or null at the end. */
  private async next(): Promise<Uint8Array | null> {
    const chunk = this.rest.length > 0 ? this.rest : await this.answer!.next();
    this.rest = new Uint8Array();
    this.position += chunk?.length ?? 0;
    return chunk;
  }

  private async restart(): Promise<void> {
    await this.close();
    const answer = await getWhole(this.server);
    try {
      checkUnchanged(this.server, this.first, answer);
    } catch (error) {
      await answer.cancel();
      throw error;
    }
    this.answer = answer;
    this.position = 0;
    this.rest = new Uint8Array();
  }
}
