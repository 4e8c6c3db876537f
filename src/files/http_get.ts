/** GET by `fetch`, with limits to a server's silence and slowness, and no headers of the caller to other hosts. */
import type {NumberRange} from '../common/options';
import type {RequestOptions} from './source';

/** How long a server may be silent, in milliseconds, unless `timeout` says otherwise. */
export const TIMEOUT = 60_000;
/** What `timeout` may be. A timer beyond 32 bits, which is 25 days, would fire at once. */
export const timeoutRange: NumberRange = {exclusiveMin: 0, max: 2 ** 31 - 1};

/** Bytes that a server must bring in a second, while it is waited for; GSM of 1991 brings 1200. */
const LEAST_RATE = 1000;

/** As many as browsers follow. */
const MAX_REDIRECTS = 20;

/** What is asked for. */
export interface Requested {
  /** What messages start with. */
  owner: string;
  url: string;
  request: Omit<RequestOptions, 'timeout'>;
  timeout: number;
}

/** The header that asks for bytes `from` to before `to`. */
export const rangeOf = (from: number, to: number): Record<string, string> => ({
  range: `bytes=${from}-${to - 1}`,
});

/** An answer whose body is taken piece by piece; after an error its connection is closed. */
export class Answer {
  private readonly reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  /** Milliseconds for which it was waited since the rate was looked at, and the bytes that came. */
  private waited = 0;
  private brought = 0;

  constructor(
    private readonly server: Requested,
    readonly response: Response,
    private readonly abort: AbortController,
  ) {
    this.reader = response.body?.getReader();
  }

  /** The next bytes, or null at the end. */
  async next(): Promise<Uint8Array | null> {
    if (!this.reader) return null;
    try {
      const start = performance.now();
      const {done, value} = await unlessSilent(this.server, this.abort, this.reader.read());
      if (done) return null;
      this.brought += value.length;
      this.waited += performance.now() - start;
      this.checkRate();
      return value;
    } catch (error) {
      await this.cancel();
      if (error instanceof SilenceError) throw error;
      const {owner, url} = this.server;
      throw new NoAnswerError(`${owner}: the answer to GET ${url} broke off: ${reasonOf(error)}`, {
        cause: error,
      });
    }
  }

  /** Throws if what was waited for, in as long as the server may be silent, was too little. */
  private checkRate(): void {
    const {waited, brought} = this;
    const {owner, url, timeout} = this.server;
    if (waited < timeout) return;
    if (brought < (LEAST_RATE * waited) / 1000) {
      throw new SilenceError(
        `${owner}: GET ${url} brings ${brought} bytes in ${(waited / 1000).toPrecision(2)} s, and must bring ` +
          `${LEAST_RATE} a second; try again, or get the files from another server`,
      );
    }
    [this.waited, this.brought] = [0, 0];
  }

  /** Takes no more of it, and closes its connection. */
  async cancel(): Promise<void> {
    // a broken stream reports its error once more
    await this.reader?.cancel().catch(() => undefined);
  }
}

/** A server does not answer, or not to the end. */
export class NoAnswerError extends Error {
  readonly code = 'offline';
}

/** A server sends nothing, or hardly anything. */
export class SilenceError extends NoAnswerError {}

/** What a server promises, as long as it does not stay silent: then the request is aborted. */
async function unlessSilent<T>(
  {owner, url, timeout}: Requested,
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
export async function get(server: Requested, more: Record<string, string> = {}): Promise<Answer> {
  const {owner, url, request} = server;
  const abort = new AbortController();
  const signal = AbortSignal.any([abort.signal, ...(request.signal ? [request.signal] : [])]);
  try {
    const response = await unlessSilent(server, abort, follow(server, more, signal));
    return new Answer(server, response, abort);
  } catch (error) {
    // Node's fetch keeps the connection of a redirect that it refuses
    abort.abort();
    if (error instanceof SilenceError) throw error;
    // `fetch` itself throws TypeErrors
    const Failure = error instanceof TypeError ? NoAnswerError : Error;
    throw new Failure(`${owner}: GET ${url} failed: ${reasonOf(error)}`, {cause: error});
  }
}

/**
 * `fetch`, but no headers of the caller, which may be secrets, go to another host than the one that was named. At a redirect
 * `fetch` itself takes `authorization` away; if there are others, redirects are followed here.
 */
async function follow(
  {url, request}: Requested,
  more: Record<string, string>,
  signal: AbortSignal,
): Promise<Response> {
  const {redirect = 'follow', headers: given, ...others} = request;
  const own = new Headers(given);
  const isManual =
    redirect === 'follow' && [...own.keys()].some((name) => name !== 'authorization');
  const {origin} = new URL(url);
  let target = new URL(url);
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
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
  throw new Error(`more than ${MAX_REDIRECTS} redirects`);
}

/** In a page the status of a redirect, and where it leads, is not to be seen. */
function isRedirect({status, type}: Response): boolean {
  return type === 'opaqueredirect' || [301, 302, 303, 307, 308].includes(status);
}

/** Node's `fetch failed` has its reason in the cause. */
function reasonOf(error: unknown): string {
  const {cause, message} = error as Error;
  return cause instanceof Error ? `${message} (${cause.message})` : message;
}

/** Where the part begins that an answer has, and the size of the whole file: `content-range: bytes 0-9/100`. */
export function partOf({response}: Answer): {from: number; size: number} | null {
  const part = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get('content-range') ?? '');
  return part && {from: Number(part[1]), size: Number(part[2])};
}
