/**
 * Runs small trainings with this library's kernels in headless chromium: on WebGPU, by its software GPU, and on wasm, by tfjs's
 * binary for one thread and by that for several. Every loss must equal that of the same training on the cpu backend without
 * kernels, and estimates of memory in a page must equal those in Node. Kernels on several threads, in a page that is cross-origin isolated and in
 * its worker, must leave the same bits as those on one, also where a service worker isolates the page, and where nothing or its
 * Content-Security-Policy lets it start none. A browser's own storage is tried, and trainings in the library's worker.
 * Exits with 1 if one fails, or if WebGPU reports an error.
 *
 *   npm run test:chromium                      # needs chromium on the path, or in CHROMIUM
 */
import {createRequire} from 'node:module';
import {fileURLToPath, pathToFileURL} from 'node:url';
import {isDeepStrictEqual} from 'node:util';
import '@tensorflow/tfjs-backend-cpu';
import {estimates} from './chromium/estimates';
import {runStorage} from './chromium/storage';
import {runWorker} from './chromium/worker';
import {bundlePage, runPage, scriptPage, type Page} from '../tools/run_page';
import type {PageReport, ThreadsReport} from './chromium/page';

/** The largest relative difference of a loss: float32 sums are added in another order, over all steps. */
const TOLERANCE = 1e-4;

/** Where tfjs's own binaries are. */
const wasmFiles = new URL('../node_modules/@tensorflow/tfjs-backend-wasm/dist/', import.meta.url);

/** A page to open. */
interface KernelPage {
  title: string;
  backend: 'webgpu' | 'wasm';
  /** Whether it may share memory between threads, which makes tfjs's wasm backend run several. */
  isolated: boolean;
}

const pages: KernelPage[] = [
  {title: 'WebGPU', backend: 'webgpu', isolated: false},
  {title: 'wasm', backend: 'wasm', isolated: false},
  {title: 'wasm for threads', backend: 'wasm', isolated: true},
];

const script = await bundlePage(fileURLToPath(new URL('chromium/page.ts', import.meta.url)));
for (const page of pages) {
  const {backend, isolated} = page;
  const report = await runPage<PageReport>({
    html: scriptPage('/page.js'),
    files: {'/page.js': script, '/': wasmFiles},
    query: `run=${backend}`,
    isolated,
  });
  check(page, report);
}

/** A script that runs in a worker, and reports from there. */
const workerPage = (query: string): string =>
  `<!doctype html><script>new Worker('/page.js?${query}', {type: 'module'});</script>`;

/** A page on a host that sends no headers, for which a service worker adds them. */
const servicePage =
  "<!doctype html><script src='/coi-serviceworker.js'></script><script>if (crossOriginIsolated) import('/page.js');</script>";
const serviceWorker = createRequire(import.meta.url).resolve('coi-serviceworker');

/** Headers of pages that may not start workers of their own text, and not compile WebAssembly. */
const scripts = "script-src 'self' 'unsafe-inline'";
const [withoutBlobs, withoutWasm] = [
  {'content-security-policy': `${scripts} 'wasm-unsafe-eval'`},
  {'content-security-policy': `${scripts}; worker-src blob:`},
];

/** A page that trains on threads. */
interface ThreadsPage extends Partial<Page> {
  title: string;
  /** How many threads are asked for. */
  threads: number;
  /** Why there is one all the same. */
  says?: RegExp;
  /** What else its address says. */
  and?: string;
}

const threadsPages: ThreadsPage[] = [
  {title: 'a page that is not isolated', threads: 2, isolated: false, says: /cross-origin/},
  {title: 'a page', threads: 1},
  {title: 'a page', threads: 2},
  ...[2, 3].map((threads) => ({title: 'a worker', threads, html: workerPage(`run=threads&threads=${threads}`)})), // prettier-ignore
  {title: 'a page with a service worker', threads: 2, isolated: false, html: servicePage},
  // tfjs's own threads wait for ever there
  {
    ...{title: 'a page that forbids workers', threads: 2, headers: withoutBlobs},
    ...{says: /cannot be loaded; .* worker-src blob:$/, and: '&simd'},
  },
];
let expected: string | undefined;
for (const page of threadsPages) {
  const {digest} = await runThreads(page);
  expected ??= digest;
  if (digest === expected) continue;
  console.error(`FAILED: ${page.title} on ${page.threads} threads has other weights`);
  process.exitCode = 1;
}

async function runThreads({
  title,
  threads,
  says,
  and = '',
  ...page
}: ThreadsPage): Promise<ThreadsReport> {
  const report = await runPage<ThreadsReport>({
    html: scriptPage('/page.js'),
    files: {
      '/page.js': script,
      '/': wasmFiles,
      '/coi-serviceworker.js': pathToFileURL(serviceWorker),
    },
    ...{query: `run=threads&threads=${threads}${and}`, isolated: true, ...page},
  });
  const wanted = says ? 1 : threads;
  const isSaid = says ? report.said.length === 1 && says.test(report.said[0]!) : report.said.length === 0; // prettier-ignore
  const isRight = report.threads === wanted && report.helped > 0 === wanted > 1 && isSaid;
  console.log(
    `${isRight ? 'ok' : 'FAILED'}: ${title}: ${report.threads} of ${threads} threads, ${report.helped} calls by workers ${report.said.join()}`,
  );
  if (!isRight) process.exitCode = 1;
  return report;
}

/** Other pages about threads, and what each reports. */
for (const [run, headers, right] of [
  [
    'stuck',
    {},
    /^1 thread: A thread of the wasm kernels has not answered for \d+ s: values may be wrong/,
  ],
  ['without wasm', withoutWasm, /^false: .*Content Security policy/],
] as const) {
  const files = {'/page.js': script, '/': wasmFiles};
  const report = await runPage<string>({html: scriptPage('/page.js'), query: `run=${run}`, files, headers, isolated: true}); // prettier-ignore
  const isRight = right.test(report);
  console.log(`${isRight ? 'ok' : 'FAILED'}: ${run}: ${report.slice(0, 200)}`);
  if (!isRight) process.exitCode = 1;
}

const inNode = estimates();
const inPage = await runPage<typeof inNode>({
  html: scriptPage('/page.js'),
  files: {'/page.js': script},
  query: 'run=estimates',
});
for (const [title, expected] of Object.entries(inNode)) {
  const found = inPage[title];
  if (isDeepStrictEqual(found, expected)) continue;
  console.error(`FAILED: ${title}: ${JSON.stringify({found, expected})}`);
  process.exitCode = 1;
}
console.log(`${Object.keys(inNode).length} estimates of memory were compared with those in Node`);

if (!(await runStorage())) process.exitCode = 1;
if (!(await runWorker())) process.exitCode = 1;

function check({title, isolated}: KernelPage, {runsOn, errors, trainings}: PageReport): void {
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
