import {createServer, type IncomingMessage, type ServerResponse} from 'node:http';
import type {AddressInfo} from 'node:net';

/** How a `FileServer` answers. */
export interface ServerOptions {
  /** Whether it gives parts of a file; default true. */
  ranges?: boolean;
  /** Whether it says how long an answer is; default true. */
  lengths?: boolean;
  /** A status in place of the file. */
  status?: number;
  /** Answers in place of this server, which answers only if it returns false. */
  answer?: (request: IncomingMessage, response: ServerResponse) => unknown;
  /** Breaks off the first so many answers of whole files after half of the bytes; default 0. */
  broken?: number;
}

/** Serves files of the memory on this machine until it is closed. */
export class FileServer {
  /** The requests so far, as `GET /config.json bytes=0-7`. */
  readonly requests: string[] = [];
  private readonly server = createServer((request, response) => this.answer(request, response));

  private constructor(
    private readonly files: ReadonlyMap<string, Uint8Array>,
    public options: ServerOptions,
  ) {}

  static async start(
    files: ReadonlyMap<string, Uint8Array>,
    options: ServerOptions = {},
  ): Promise<FileServer> {
    const server = new FileServer(files, options);
    await new Promise<void>((resolve) => server.server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  /** Of the folder `/model`, in which all files are. */
  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/model`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const {pathname} = new URL(request.url!, this.url);
    const {range} = request.headers;
    this.requests.push([request.method, pathname, ...(range ? [range] : [])].join(' '));
    if (this.options.answer && this.options.answer(request, response) !== false) return;
    const bytes = this.files.get(decodeURIComponent(pathname.replace('/model/', '')));
    const {status, ranges = true, lengths = true} = this.options;
    if (status !== undefined || !bytes) {
      response.writeHead(status ?? 404).end();
      return;
    }
    const asked = ranges ? /^bytes=(\d+)-(\d+)$/.exec(range ?? '') : null;
    const [from, to] = asked
      ? [Number(asked[1]), Math.min(Number(asked[2]) + 1, bytes.length)]
      : [0, bytes.length];
    if (asked && from >= to) {
      response.writeHead(416, {'content-range': `bytes */${bytes.length}`}).end();
      return;
    }
    response.writeHead(asked ? 206 : 200, {
      ...(asked && {'content-range': `bytes ${from}-${to - 1}/${bytes.length}`}),
      ...(lengths && {'content-length': to - from}),
    });
    const {broken = 0} = this.options;
    if (!asked && broken > 0) {
      this.options = {...this.options, broken: broken - 1};
      response.write(bytes.subarray(0, bytes.length / 2), () => response.destroy());
      return;
    }
    response.end(bytes.subarray(from, to));
  }
}
