/**
 * Runs the webgpu kernels in headless chromium, on its software GPU: small trainings with the kernels, of which every loss has
 * to be that of the same training on the cpu backend without them. Exits with 1 if one is not, or WebGPU reports an error.
 *
 *   npm run test:chromium                      # needs chromium on the path, or in CHROMIUM
 */
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, rmSync} from 'node:fs';
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

const report = await runPage(await bundle());
console.log(`WebGPU adapter: ${report.adapter}`);
let failed = report.deviceErrors.length > 0;
for (const message of report.deviceErrors) console.error(`WebGPU error: ${message}`);
for (const {title, cpu, webgpu, kernelCalls} of report.trainings) {
  const differences = cpu.map((loss, i) => Math.abs(webgpu[i]! - loss) / loss);
  const largest = Math.max(...differences);
  const learns = webgpu.at(-1)! < webgpu[0]!;
  const same = webgpu.length === cpu.length && largest <= TOLERANCE;
  const good = same && learns && kernelCalls > 0;
  if (!good) failed = true;
  console.log(
    `${good ? 'ok' : 'FAILED'}: ${title}: ${cpu.length} steps, loss ${webgpu[0]!.toFixed(5)} → ` +
      `${webgpu.at(-1)!.toFixed(5)}, largest difference from cpu ${largest.toExponential(1)}, ${kernelCalls} kernel calls`,
  );
}
process.exitCode = failed ? 1 : 0;

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

/** Serves the page to chromium, and waits for what it reports. WebGPU is there on localhost alone, or with https. */
async function runPage(script: string): Promise<PageReport> {
  let settle: {resolve(report: PageReport): void; reject(error: unknown): void};
  const result = new Promise<PageReport>((resolve, reject) => (settle = {resolve, reject}));
  const server = createServer((request, response) => {
    answer(request, response, script).then(
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
      `http://localhost:${port}/`,
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
    rmSync(profile, {recursive: true, force: true, maxRetries: 5});
  }
}

/** Answers one request; resolves to the report, if it is that. */
async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  script: string,
): Promise<PageReport | undefined> {
  const reply = (type: string, body: string, status = 200): void => {
    response.writeHead(status, {'content-type': `${type}; charset=utf-8`}).end(body);
  };
  switch (request.url) {
    case '/':
      reply(
        'text/html',
        '<!doctype html><title>kernels</title><script type="module" src="/page.js"></script>',
      );
      return undefined;
    case '/page.js':
      reply('text/javascript', script);
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
      reply('text/plain', '', 404);
      return undefined;
  }
}
