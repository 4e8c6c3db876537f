/**
 * Runs the kernels in headless chromium, those of WebGPU on its software GPU, those of wasm over tfjs's binary for one thread and the one for several:
 * small trainings with the kernels, of which every loss has to be that of the same training on the cpu backend without them.
 * Exits with 1 if one is not, or WebGPU reports an error.
 *
 *   npm run test:chromium                      # needs chromium on the path, or in CHROMIUM
 */
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, readFileSync} from 'node:fs';
import {rm} from 'node:fs/promises';
import {createServer, type IncomingMessage, type ServerResponse} from 'node:http';
import type {AddressInfo} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {text} from 'node:stream/consumers';
import {fileURLToPath} from 'node:url';
import {build} from 'esbuild';
import type {PageReport} from './chromium/page';

/** Most that a loss may differ, relative to itself: float32 in another order, over all steps. */
const TOLERANCE = 1e-4;
const TIMEOUT = 180_000;

/** Where tfjs's own binaries are. */
const wasmFiles = new URL('../node_modules/@tensorflow/tfjs-backend-wasm/dist/', import.meta.url);

/** A page that is opened. */
interface Page {
  title: string;
  backend: 'webgpu' | 'wasm';
  /** Whether it may share memory between threads, which makes tfjs's wasm backend run several. */
  isolated: boolean;
}

const pages: Page[] = [
  {title: 'WebGPU', backend: 'webgpu', isolated: false},
  {title: 'wasm', backend: 'wasm', isolated: false},
  {title: 'wasm for threads', backend: 'wasm', isolated: true},
];

const script = await bundle();
for (const page of pages) check(page, await runPage(page, script));

function check({title, isolated}: Page, {runsOn, errors, trainings}: PageReport): void {
  console.log(`${title}: ${runsOn}`);
  let good = errors.length === 0 && (runsOn === 'memory shared by threads') === isolated;
  for (const message of errors) console.error(`error: ${message}`);
  for (const {title, expected, actual, kernelCalls} of trainings) {
    const differences = expected.map((loss, i) => Math.abs(actual[i]! - loss) / loss);
    const largest = Math.max(...differences);
    const learns = actual.at(-1)! < actual[0]!;
    const same = actual.length === expected.length && largest <= TOLERANCE;
    const isRight = same && learns && kernelCalls > 0;
    good &&= isRight;
    console.log(
      `${isRight ? 'ok' : 'FAILED'}: ${title}: ${expected.length} steps, loss ${actual[0]!.toFixed(5)} → ` +
        `${actual.at(-1)!.toFixed(5)}, largest difference from cpu ${largest.toExponential(1)}, ${kernelCalls} kernel calls`,
    );
  }
  if (!good) process.exitCode = 1;
}

async function bundle(): Promise<string> {
  const {outputFiles} = await build({
    entryPoints: [fileURLToPath(new URL('chromium/page.ts', import.meta.url))],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    platform: 'browser',
    write: false,
    logLevel: 'error',
  });
  return outputFiles[0]!.text;
}

/** Serves a page to chromium, and waits for what it reports. WebGPU is there on localhost alone, or with https. */
async function runPage(page: Page, script: string): Promise<PageReport> {
  let settle: {resolve(report: PageReport): void; reject(error: unknown): void};
  const result = new Promise<PageReport>((resolve, reject) => (settle = {resolve, reject}));
  const server = createServer((request, response) => {
    answer(request, response, page, script).then(
      (found) => found && settle.resolve(found),
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
      `http://localhost:${port}/?backend=${page.backend}`,
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
    () => settle.reject(new Error(`no report within ${TIMEOUT / 1000} s`)),
    TIMEOUT,
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
  {isolated}: Page,
  script: string,
): Promise<PageReport | undefined> {
  const reply = (type: string, body: string | Buffer, status = 200): void => {
    const headers = isolated
      ? {
          'cross-origin-opener-policy': 'same-origin',
          'cross-origin-embedder-policy': 'require-corp',
        }
      : {};
    response.writeHead(status, {'content-type': type, ...headers}).end(body);
  };
  const {pathname} = new URL(request.url!, 'http://localhost');
  switch (pathname) {
    case '/':
      reply(
        'text/html; charset=utf-8',
        '<!doctype html><title>kernels</title><script type="module" src="/page.js"></script>',
      );
      return undefined;
    case '/page.js':
      reply('text/javascript; charset=utf-8', script);
      return undefined;
    case '/report': {
      const report = JSON.parse(await text(request)) as PageReport;
      reply('text/plain', '');
      return report;
    }
    case '/error': {
      const message = JSON.parse(await text(request)) as string;
      reply('text/plain', '');
      throw new Error(`in the page: ${message}`);
    }
    default:
      if (/^\/[\w-]+\.wasm$/.test(pathname)) {
        reply('application/wasm', readFileSync(new URL(`.${pathname}`, wasmFiles)));
      } else {
        reply('text/plain', '', 404);
      }
      return undefined;
  }
}
