import {checkNumber} from '../options';
import type {FileSource, RequestOptions, SourceFile} from './source';
import {checkSourcePath} from './source_path';

/** Bytes requested when a file is opened: enough for a small file, and for most headers of large ones. */
const FIRST_BYTES = 2 ** 16;

/** How long a server may be silent, in milliseconds, unless `timeout` says otherwise. */
const TIMEOUT = 60_000;

/** Where a server does not say how long a file is, it must end before this many bytes. */
const MOST_UNANNOUNCED_BYTES = 2 ** 28;

/** As many as browsers follow. */
const MOST_REDIRECTS = 20;

interface Server {
  owner: string;
  url: string;
  path: string;
  request: Omit<RequestOptions, 'timeout'>;
  timeout: number;
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
  checkNumber(owner, 'request.timeout (in milliseconds)', timeout, {exclusiveMin: 0});
  return {
    name: base,
    async open(path) {
      checkSourcePath(owner, path);
      const server = {owner, url: fileUrl(base, path), path, request, timeout};
      const answer = await get(server, rangeOf(0, FIRST_BYTES));
      const {status, headers} = answer.response;
      if (status === 206) return (await rangedFile(server, answer)) ?? wholeFile(server);
      if (status === 200) return wholeFile(server, answer);
      await answer.cancel();
      if (status === 404 || status === 410) return null;
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

const rangeOf = (from: number, to: number): Record<string, string> => ({
  range: `bytes=${from}-${to - 1}`,
});

/** An answer whose body is taken piece by piece. */
class Answer {
  private readonly reader: ReadableStreamDefaultReader<Uint8Array> | undefined;

  constructor(
    private readonly server: Server,
    readonly response: Response,
    private readonly abort: AbortController,
  ) {
    this.reader = response.body?.getReader();
  }

  /** The next bytes, or null at the end. */
  async next(): Promise<Uint8Array | null> {
    if (!this.reader) return null;
    try {
      const {done, value} = await unlessSilent(this.server, this.abort, this.reader.read());
      return done ? null : value;
    } catch (error) {
      if (error instanceof SilenceError) throw error;
      const {owner, url} = this.server;
      throw new Error(`${owner}: the answer to GET ${url} broke off: ${reasonOf(error)}`, {
        cause: error,
      });
    }
  }

  /** Takes no more of it. */
  async cancel(): Promise<void> {
    // a broken stream reports its error once more
    await this.reader?.cancel().catch(() => undefined);
  }
}

/** A server sends nothing. */
class SilenceError extends Error {}

/** What a server promises, as long as it does not stay silent: then the request is aborted. */
async function unlessSilent<T>(
  {owner, url, timeout}: Server,
  abort: AbortController,
  answer: Promise<T>,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout>;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(
        new SilenceError(
          `${owner}: GET ${url} has brought nothing for ${timeout / 1000} s; ` +
            'try again, or wait longer with the option `request`: {timeout: milliseconds}',
        ),
      );
      abort.abort();
    }, timeout);
  });
  try {
    return await Promise.race([answer, silence]);
  } finally {
    clearTimeout(timer!);
  }
}

/** The answer to a request with more headers. */
async function get(server: Server, more: Record<string, string> = {}): Promise<Answer> {
  const {owner, url, request} = server;
  const abort = new AbortController();
  const signal = AbortSignal.any([abort.signal, ...(request.signal ? [request.signal] : [])]);
  try {
    const response = await unlessSilent(server, abort, follow(server, more, signal));
    return new Answer(server, response, abort);
  } catch (error) {
    if (error instanceof SilenceError) throw error;
    throw new Error(`${owner}: GET ${url} failed: ${reasonOf(error)}`, {cause: error});
  }
}

/**
 * `fetch`, but no headers of the caller, which may be secrets, go to another host than the one that was named. At a redirect
 * `fetch` itself takes `authorization` away; if there are others, redirects are followed here.
 */
async function follow(
  {url, request}: Server,
  more: Record<string, string>,
  signal: AbortSignal,
): Promise<Response> {
  const {redirect = 'follow', headers: given, ...others} = request;
  const own = new Headers(given);
  const isManual =
    redirect === 'follow' && [...own.keys()].some((name) => name !== 'authorization');
  const {origin} = new URL(url);
  let target = new URL(url);
  for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
    const headers = new Headers(target.origin === origin ? own : {});
    for (const [name, value] of Object.entries(more)) headers.set(name, value);
    const response = await fetch(target, {
      ...{...others, headers, signal},
      redirect: isManual ? 'manual' : redirect,
    });
    if (!isManual || !isRedirect(response)) return response;
    await response.body?.cancel();
    const location = response.headers.get('location');
    if (location === null) {
      throw new Error(
        'it redirects to where `request.headers` cannot be kept back; ask the other host for the files, or leave the headers out',
      );
    }
    target = new URL(location, target);
  }
  throw new Error(`more than ${MOST_REDIRECTS} redirects`);
}

/** In a page the status of a redirect, and where it leads, is not to be seen. */
function isRedirect({status, type}: Response): boolean {
  return type === 'opaqueredirect' || [301, 302, 303, 307, 308].includes(status);
}

function refused({owner, url}: Server, {response: {status, statusText}}: Answer): Error {
  const way =
    status === 401 || status === 403
      ? '; the option `request` takes headers, such as {headers: {authorization: …}}'
      : '';
  return new Error(`${owner}: GET ${url} answered ${`${status} ${statusText}`.trim()}${way}`);
}

/** Node's `fetch failed` has its reason in the cause. */
function reasonOf(error: unknown): string {
  const {cause, message} = error as Error;
  return cause instanceof Error ? `${message} (${cause.message})` : message;
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
  const first = await bodyOf(server, opening, 0, Math.min(size, FIRST_BYTES));
  return {
    path: server.path,
    size,
    async read(from, to) {
      if (to === from) return new Uint8Array();
      if (to <= first.length) return first.subarray(from, to);
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
    },
    close: async () => undefined,
  };
}

/** Where the part begins that an answer has, and the size of the whole file: `content-range: bytes 0-9/100`. */
function partOf({response}: Answer): {from: number; size: number} | null {
  const [, from, size] =
    /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get('content-range') ?? '') ?? [];
  return size === undefined ? null : {from: Number(from), size: Number(size)};
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
    if (!this.answer || from < this.position) {
      await this.restart();
    } else if (this.position > 0) {
      try {
        return await this.take(from, to);
      } catch (error) {
        if (error instanceof SilenceError) throw error;
        // the server may have closed the connection because nothing was read for a while
        await this.restart();
      }
    }
    return this.take(from, to);
  }

  /**
   * Reads on to the end and returns the position there: the size of the file.
   *
   * @throws if it does not end.
   */
  async skipToEnd(): Promise<number> {
    while (await this.next()) {
      if (this.position <= MOST_UNANNOUNCED_BYTES) continue;
      await this.close();
      const {owner, url} = this.server;
      throw new Error(
        `${owner}: the answer to GET ${url} does not say how long it is, and has not ended after ` +
          `${MOST_UNANNOUNCED_BYTES} bytes; ${brokenServer}`,
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
    checkUnchanged(this.server, this.first, answer);
    this.answer = answer;
    this.position = 0;
    this.rest = new Uint8Array();
  }
}
