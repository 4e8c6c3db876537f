/**
 * Opens a page in headless chromium and waits for what it reports. A script of the page posts its result as JSON to
 * `/report`, or a message to `/error`; `/progress` takes any number of messages before, and may answer. {@link bundlePage} makes the script.
 */
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, readdirSync, readFileSync} from 'node:fs';
import {rm} from 'node:fs/promises';
import {createServer, type IncomingMessage, type ServerResponse} from 'node:http';
import type {AddressInfo} from 'node:net';
import {tmpdir} from 'node:os';
import {extname, join} from 'node:path';
import {text} from 'node:stream/consumers';
import {build, type BuildOptions} from 'esbuild';

/** A page, and what it may ask its server for. */
export interface Page {
  /** Its HTML; {@link scriptPage} makes one of a script's path. */
  html: string;
  /** Files by their paths, `/page.js`: what is served, or a URL of the file that is. A path that ends in `/` is a folder's,
   * whose folders are served as JSON arrays of names. */
  files: Readonly<Record<string, string | Buffer | URL>>;
  /** What comes after `?` in the page's address. */
  query?: string;
  /** Whether the page may share memory between threads: served with COOP and COEP. Default false. */
  isolated?: boolean;
  /** Other headers that all is served with. */
  headers?: Readonly<Record<string, string>>;
  /** Most milliseconds until the page reports. Default 180 000. */
  timeout?: number;
  /** Called with each JSON value that the page posts to `/progress`; what it returns, or resolves to, is the answer. */
  onProgress?: (message: unknown) => unknown;
}

/** Of files that a page loads, by the ends of their names. */
export const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
};

/**
 * Before all other scripts of a page: reports the first error that none of them catches, and a script that cannot be loaded (such an
 * event does not bubble, but can be captured).
 */
const REPORTS_ERRORS = `<script>
addEventListener('error', ({message, error, target}) => {
  const what = message === undefined ? target.src + ' cannot be loaded' : error?.stack ?? message;
  void fetch('/error', {method: 'POST', body: JSON.stringify(what)});
}, true);
</script>`;

/** A page that runs one or more module scripts; what they throw when they are loaded is its error. */
export function scriptPage(...paths: string[]): string {
  const scripts = paths.map((path) => `<script type="module" src="${path}"></script>`);
  return `<!doctype html><meta charset="utf-8"><title>page</title>${REPORTS_ERRORS}<body></body>${scripts.join('')}`;
}

/** Bundles a module and what it imports for a browser, as one ES module. */
export async function bundlePage(
  entry: string | null,
  options: BuildOptions = {},
): Promise<string> {
  const {outputFiles} = await build({
    ...(entry === null ? {} : {entryPoints: [entry]}),
    bundle: true,
    format: 'esm',
    target: 'es2022',
    platform: 'browser',
    logLevel: 'error',
    ...options,
    write: false,
  });
  return outputFiles[0]!.text;
}

/**
 * Serves a page to chromium (on the path, or in `CHROMIUM`) at localhost, where WebGPU is allowed, and closes both when it has
 * reported.
 *
 * @returns What the page posted to `/report`.
 * @throws Error with what the page posted to `/error`, or if it does not report in time.
 */
export async function runPage<Report>(page: Page): Promise<Report> {
  const timeout = page.timeout ?? 180_000;
  let settle: {resolve(report: Report): void; reject(error: unknown): void};
  const result = new Promise<Report>((resolve, reject) => (settle = {resolve, reject}));
  const server = createServer((request, response) => {
    answer(request, response, page).then(
      (found) => found && settle.resolve(found.report as Report),
      (error: unknown) => settle.reject(error),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const {port} = server.address() as AddressInfo;
  const profile = mkdtempSync(join(tmpdir(), 'tfjs-owlore-chromium-'));
  const browser = spawn(
    process.env.CHROMIUM ?? 'chromium',
    [
      '--headless=new',
      '--no-sandbox',
      '--enable-unsafe-webgpu',
      '--use-webgpu-adapter=swiftshader',
      '--enable-unsafe-swiftshader',
      `--user-data-dir=${profile}`,
      `http://localhost:${port}/?${page.query ?? ''}`,
    ],
    {stdio: 'ignore'},
  );
  const ended = new Promise<void>((resolve) => {
    browser.on('error', (error) => {
      settle.reject(error);
      resolve();
    });
    browser.on('exit', (code) => {
      settle.reject(new Error(`chromium ended with ${code} before the page reported`));
      resolve();
    });
  });
  const timer = setTimeout(
    () => settle.reject(new Error(`no report within ${timeout / 1000} s`)),
    timeout,
  );
  try {
    return await result;
  } finally {
    clearTimeout(timer);
    browser.kill();
    await ended;
    server.closeAllConnections();
    server.close();
    // Some of its processes write on for a moment.
    await rm(profile, {recursive: true, force: true, maxRetries: 20, retryDelay: 100});
  }
}

/** Answers one request; resolves to the report, if it is that. */
async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  {html, files, isolated = false, headers: given = {}, onProgress}: Page,
): Promise<{report: unknown} | undefined> {
  const reply = (type: string, body: string | Buffer, status = 200): void => {
    const headers = isolated
      ? {
          'cross-origin-opener-policy': 'same-origin',
          'cross-origin-embedder-policy': 'require-corp',
        }
      : {};
    response.writeHead(status, {'content-type': type, ...headers, ...given}).end(body);
  };
  const {pathname} = new URL(request.url!, 'http://localhost');
  if (request.method === 'POST') {
    const message = JSON.parse(await text(request)) as unknown;
    const answer = pathname === '/progress' ? await onProgress?.(message) : undefined;
    reply('application/json', JSON.stringify(answer ?? null));
    if (pathname === '/report') return {report: message};
    if (pathname === '/error') throw new Error(`in the page: ${String(message)}`);
    return undefined;
  }
  if (pathname === '/') {
    reply('text/html; charset=utf-8', html);
    return undefined;
  }
  const body = find(pathname, files);
  if (body === undefined) reply('text/plain', '', 404);
  else reply(contentTypes[extname(pathname)] ?? 'application/octet-stream', body);
  return undefined;
}

function find(pathname: string, files: Page['files']): string | Buffer | undefined {
  const folder = Object.keys(files).find((path) => path.endsWith('/') && pathname.startsWith(path));
  const file = files[pathname] ?? (folder && files[folder]);
  if (!(file instanceof URL)) return file;
  // A pathname that was parsed has no `..` left.
  const url = folder === undefined ? file : new URL(pathname.slice(folder.length), file);
  try {
    return pathname.endsWith('/') ? JSON.stringify(readdirSync(url)) : readFileSync(url);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
