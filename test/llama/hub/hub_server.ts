import {createHash} from 'node:crypto';
import {createServer, type IncomingMessage, type Server, type ServerResponse} from 'node:http';
import type {AddressInfo} from 'node:net';

/** How a `HubServer` answers; it may be changed at any time. */
export interface HubOptions {
  /** Without this token it shows nothing. */
  token?: string;
  /** Who has the token must accept conditions first. */
  isGated?: boolean;
  /** Sends no more than so many bytes of a content that is larger in one answer, then cuts the connection. */
  cutAfter?: number;
  /** Keeps such a connection until {@link HubServer.cut}: a browser that has not read all may lose what it has received. */
  waitsToCut?: boolean;
  /** Answers whole contents to those who ask for a part. */
  hasNoRanges?: boolean;
  /** Sends other bytes than it has said. */
  isDamaged?: boolean;
  /** Where it redirects to for large files, when another name leads to {@link HubServer.contentsPort}. */
  contentsUrl?: string;
  /** Called before it sends the content of a file. */
  beforeContent?: (path: string) => Promise<unknown>;
  /** A status in place of all answers. */
  status?: number;
  /** What it says in place of a description of the model. */
  description?: string | Uint8Array;
}

interface File {
  bytes: Uint8Array;
  hash: string;
  /** Whether it is stored apart from git, behind a redirect. */
  isLarge: boolean;
}

/**
 * A Hub on this machine with one model in a few revisions. It answers as huggingface.co does: errors with `x-error-code`, large
 * files behind a redirect; Python's huggingface_hub downloads from it.
 */
export class HubServer {
  /** The requests so far, as `GET /owner/name/resolve/COMMIT/config.json bytes=7-`. */
  readonly requests: string[] = [];
  /** The tokens that came with them. */
  readonly tokens = new Set<string | undefined>();
  /** Answers that wait to be cut. */
  private readonly open = new Set<ServerResponse>();
  private readonly revisions = new Map<string, {commit: string; files: Map<string, File>}>();
  private readonly contents = createServer((request, response) => {
    if (allowsPages(request, response)) return;
    this.tokens.add(request.headers.authorization && 'sent to another host');
    const hash = request.url!.slice(1);
    const file = [...this.revisions.values()]
      .flatMap(({files}) => [...files.values()])
      .find((each) => each.hash === hash)!;
    void this.send(request, response, file);
  });
  private readonly server = createServer((request, response) => {
    if (allowsPages(request, response)) return;
    void this.answer(request, response);
  });

  private constructor(
    readonly id: string,
    public options: HubOptions,
  ) {}

  static async start(id: string, options: HubOptions = {}): Promise<HubServer> {
    const hub = new HubServer(id, options);
    for (const server of [hub.server, hub.contents])
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return hub;
  }

  /** Cuts the connections that wait for it. */
  cut(): void {
    for (const response of this.open) response.destroy();
    this.open.clear();
  }

  get endpoint(): string {
    return `http://127.0.0.1:${portOf(this.server)}`;
  }

  /** Where large files are. */
  get contentsPort(): number {
    return portOf(this.contents);
  }

  /**
   * Adds a commit with these files, or moves a branch there.
   *
   * @returns the commit.
   */
  push(branch: string, files: ReadonlyMap<string, Uint8Array>): string {
    const all = new Map(
      [...files].map(([path, bytes]) => {
        const isLarge = path.endsWith('.safetensors');
        const sha1 = createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes);
        const hash = (isLarge ? createHash('sha256').update(bytes) : sha1).digest('hex');
        return [path, {bytes, hash, isLarge}];
      }),
    );
    const commit = createHash('sha1')
      .update([...all].map(([path, {hash}]) => path + hash).join())
      .digest('hex');
    for (const name of [branch, commit]) this.revisions.set(name, {commit, files: all});
    return commit;
  }

  async close(): Promise<void> {
    for (const server of [this.server, this.contents]) {
      server.closeAllConnections();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    }
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const {pathname} = new URL(request.url!, this.endpoint);
    const {range, authorization} = request.headers;
    this.requests.push([request.method, pathname, ...(range ? [range] : [])].join(' '));
    this.tokens.add(authorization);
    const refuse = (status: number, code: string, message = code): void =>
      void response.writeHead(status, {'x-error-code': code, 'x-error-message': message}).end();
    const {token, isGated, status} = this.options;
    if (status !== undefined) {
      response.writeHead(status).end();
      return;
    }
    const [, , id, what, revision, path] =
      /^\/(api\/models\/)?([^/]+\/[^/]+)\/(revision|resolve)\/([^/]+)\/?(.*)$/.exec(pathname) ?? [];
    const isKnown = token === undefined || authorization === `Bearer ${token}`;
    if (id !== this.id || !isKnown) {
      refuse(authorization && isKnown ? 404 : 401, 'RepoNotFound');
      return;
    }
    const found = this.revisions.get(decodeURIComponent(revision!));
    if (!found) {
      refuse(404, 'RevisionNotFound');
      return;
    }
    if (what === 'revision') {
      const siblings = [...found.files].map(([rfilename, {bytes, hash, isLarge}]) => ({
        ...{rfilename, size: bytes.length, blobId: isLarge ? '0'.repeat(40) : hash},
        ...(isLarge && {lfs: {sha256: hash, size: bytes.length, pointerSize: 134}}),
      }));
      response.writeHead(200, {'content-type': 'application/json'});
      const {description} = this.options;
      response.end(description ?? JSON.stringify({id, modelId: id, sha: found.commit, siblings}));
      return;
    }
    if (isGated) {
      refuse(403, 'GatedRepo');
      return;
    }
    const name = path!.split('/').map(decodeURIComponent).join('/');
    const file = found.files.get(name);
    if (!file) {
      refuse(404, 'EntryNotFound');
      return;
    }
    await this.options.beforeContent?.(name);
    response.setHeader('x-repo-commit', found.commit);
    response.setHeader('etag', `"${file.hash}"`);
    if (!file.isLarge) return this.send(request, response, file);
    response.setHeader('x-linked-etag', `"${file.hash}"`);
    response.setHeader('x-linked-size', file.bytes.length);
    // to another host
    const {contentsUrl = `http://localhost:${this.contentsPort}`} = this.options;
    response.writeHead(302, {location: `${contentsUrl}/${file.hash}`}).end();
  }

  private async send(
    request: IncomingMessage,
    response: ServerResponse,
    {bytes: right}: File,
  ): Promise<void> {
    const {cutAfter = Infinity, waitsToCut, hasNoRanges, isDamaged} = this.options;
    const bytes = isDamaged ? right.map((byte) => byte ^ 1) : right;
    const [, asked, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
    const from = asked === undefined || hasNoRanges ? 0 : Number(asked);
    const isPart = asked !== undefined && !hasNoRanges;
    const to = isPart && last ? Math.min(Number(last) + 1, right.length) : right.length;
    response.writeHead(isPart ? 206 : 200, {
      'content-length': to - from,
      'accept-ranges': 'bytes',
      ...(isPart && {'content-range': `bytes ${from}-${to - 1}/${bytes.length}`}),
    });
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    if (to - from <= cutAfter) {
      response.end(bytes.subarray(from, to));
      return;
    }
    if (waitsToCut) this.open.add(response);
    response.write(bytes.subarray(from, from + cutAfter), () => {
      if (!waitsToCut) setTimeout(() => response.destroy(), 20);
    });
  }
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

/** Lets pages of other origins read the answer, as the Hub does; true if they have only asked whether they may. */
function allowsPages({method}: IncomingMessage, response: ServerResponse): boolean {
  response.setHeader('access-control-allow-origin', '*');
  response.setHeader('access-control-expose-headers', 'content-range, etag, x-error-code');
  if (method !== 'OPTIONS') return false;
  response.setHeader('access-control-allow-headers', 'authorization');
  response.end();
  return true;
}
