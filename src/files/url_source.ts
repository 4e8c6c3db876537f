import type {FileSource, RequestOptions, SourceFile} from './source';
import {checkSourcePath} from './source_path';

/** Bytes requested when a file is opened: enough for a small file, and for most headers of large ones. */
const FIRST_BYTES = 2 ** 16;

interface Server {
  owner: string;
  url: string;
  path: string;
  request: RequestOptions;
}

/**
 * The files below a base URL, by `fetch`. Parts of a file come by range requests. If the server does not
 * support them, the file is streamed from its start and bytes that are not asked for are dropped; such files
 * are best read front to back.
 */
export function urlSource(owner: string, base: string, request: RequestOptions): FileSource {
  if (!URL.canParse(base)) throw new Error(`${owner}: '${base}' is not a URL`);
  return {
    name: base,
    async open(path) {
      checkSourcePath(owner, path);
      const server = {owner, url: fileUrl(base, path), path, request};
      const response = await get(server, 0, FIRST_BYTES);
      if (response.status === 206) return (await rangedFile(server, response)) ?? wholeFile(server);
      if (response.status === 200) return wholeFile(server, response);
      await response.body?.cancel();
      if (response.status === 404 || response.status === 410) return null;
      // the response to a range request for an empty file
      if (response.headers.get('content-range') === 'bytes */0') return emptyFile(path);
      throw refused(server, response);
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

/** The answer to a request for bytes `from` to before `to`, or for the whole file where `to` is null. */
async function get(
  {owner, url, request}: Server,
  from: number,
  to: number | null,
): Promise<Response> {
  const headers = new Headers(request.headers);
  if (to !== null) headers.set('range', `bytes=${from}-${to - 1}`);
  try {
    return await fetch(url, {...request, headers});
  } catch (error) {
    throw new Error(`${owner}: GET ${url} failed: ${reasonOf(error)}`, {cause: error});
  }
}

function refused({owner, url}: Server, {status, statusText}: Response): Error {
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

/** A file that the server sends by ranges; null if it does not say how large the file is. */
async function rangedFile(server: Server, response: Response): Promise<SourceFile | null> {
  const size = sizeOf(response);
  if (size === null) {
    await response.body?.cancel();
    return null;
  }
  const first = await bodyOf(server, response, Math.min(size, FIRST_BYTES));
  return {
    path: server.path,
    size,
    async read(from, to) {
      if (to === from) return new Uint8Array();
      if (to <= first.length) return first.subarray(from, to);
      const part = await get(server, from, to);
      if (part.status !== 206) {
        await part.body?.cancel();
        throw refused(server, part);
      }
      if (sizeOf(part) !== size) {
        await part.body?.cancel();
        throw new Error(
          `${server.owner}: ${server.url} had ${size} bytes and now answers with ` +
            `'${part.headers.get('content-range')}'; it was changed while it was read`,
        );
      }
      return bodyOf(server, part, to - from);
    },
    close: async () => undefined,
  };
}

/** The size of the whole file, from `content-range: bytes 0-9/100`. */
function sizeOf(response: Response): number | null {
  const total = /^bytes \d+-\d+\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1];
  return total === undefined ? null : Number(total);
}

async function bodyOf(server: Server, response: Response, length: number): Promise<Uint8Array> {
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    throw brokenOff(server, error);
  }
  if (bytes.length === length) return bytes;
  throw new Error(
    `${server.owner}: GET ${server.url} should give ${length} bytes; got ${bytes.length}`,
  );
}

function brokenOff({owner, url}: Server, error: unknown): Error {
  return new Error(`${owner}: the answer to GET ${url} broke off: ${reasonOf(error)}`, {
    cause: error,
  });
}

/** A file that the server sends only as a whole. */
async function wholeFile(server: Server, response?: Response): Promise<SourceFile> {
  const first = response ?? (await getWhole(server));
  const stream = new RestartableStream(server, first);
  const size = lengthOf(first) ?? (await stream.skipToEnd());
  return {
    path: server.path,
    size,
    read: (from, to) => stream.read(from, to),
    close: () => stream.close(),
  };
}

async function getWhole(server: Server): Promise<Response> {
  const response = await get(server, 0, null);
  if (response.status === 200) return response;
  await response.body?.cancel();
  throw refused(server, response);
}

/** How long the body will be, where the server says so. */
function lengthOf({headers}: Response): number | null {
  const length = headers.get('content-length');
  // with a content encoding, the header is the length of the encoded body
  return length === null || headers.has('content-encoding') ? null : Number(length);
}

function emptyFile(path: string): SourceFile {
  return {path, size: 0, read: async () => new Uint8Array(), close: async () => undefined};
}

/** The body of a response, which is requested again if a read goes back. */
class RestartableStream {
  private reader: ReadableStreamDefaultReader<Uint8Array> | null;
  /** How many bytes of the file have been taken. */
  private position = 0;
  /** Bytes that have arrived and are not taken yet. */
  private rest: Uint8Array = new Uint8Array();

  constructor(
    private readonly server: Server,
    response: Response,
  ) {
    this.reader = response.body!.getReader();
  }

  async read(from: number, to: number): Promise<Uint8Array> {
    if (!this.reader || from < this.position) {
      await this.restart();
    } else if (this.position > 0) {
      try {
        return await this.take(from, to);
      } catch {
        // the server may have closed the connection because nothing was read for a while
        await this.restart();
      }
    }
    return this.take(from, to);
  }

  /** Reads on to the end and returns the position there: the size of the file. */
  async skipToEnd(): Promise<number> {
    while (await this.next());
    return this.position;
  }

  async close(): Promise<void> {
    const {reader} = this;
    this.reader = null;
    // a broken stream reports its error once more
    await reader?.cancel().catch(() => undefined);
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
    const chunk = this.rest.length > 0 ? this.rest : await this.fromServer();
    this.rest = new Uint8Array();
    this.position += chunk?.length ?? 0;
    return chunk;
  }

  private async fromServer(): Promise<Uint8Array | null> {
    try {
      const {done, value} = await this.reader!.read();
      return done ? null : value;
    } catch (error) {
      throw brokenOff(this.server, error);
    }
  }

  private async restart(): Promise<void> {
    await this.close();
    this.reader = (await getWhole(this.server)).body!.getReader();
    this.position = 0;
    this.rest = new Uint8Array();
  }
}
