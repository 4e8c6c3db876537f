/**
 * Runs small trainings with this library's kernels in headless chromium: on WebGPU, by its software GPU, and on wasm, by tfjs's
 * binary for one thread and by that for several. Every loss must equal that of the same training on the cpu backend without
 * kernels, and estimates of memory in a page must equal those in Node. Kernels on several threads, in a page that is cross-origin isolated and in
 * its worker, must leave the same bits as those on one. The tests of folders and files that a browser gives run on its own storage.
 * Exits with 1 if one fails, or if WebGPU reports an error.
 *
 *   npm run test:chromium                      # needs chromium on the path, or in CHROMIUM
 */
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {fileURLToPath} from 'node:url';
import {isDeepStrictEqual} from 'node:util';
import '@tensorflow/tfjs-backend-cpu';
import {estimates} from './chromium/estimates';
import type {Counts, Progress} from './chromium/run_mocha';
import {bundlePage, runPage, scriptPage} from '../tools/run_page';
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

const onOne = await runThreads('a page that is not isolated', 2, {isolated: false});
for (const [title, threads, options] of [
  ['a page', 1, {}],
  ['a page', 2, {}],
  ['a worker', 2, {inWorker: true}],
  ['a worker', 3, {inWorker: true}],
] as const) {
  const {digest} = await runThreads(title, threads, options);
  if (digest === onOne.digest) continue;
  console.error(`FAILED: ${title} on ${threads} threads has other weights`);
  process.exitCode = 1;
}

async function runThreads(
  title: string,
  threads: number,
  {isolated = true, inWorker = false}: {isolated?: boolean; inWorker?: boolean},
): Promise<ThreadsReport> {
  const query = `run=threads&threads=${threads}`;
  const report = await runPage<ThreadsReport>({
    html: inWorker ? workerPage(query) : scriptPage('/page.js'),
    files: {'/page.js': script, '/': wasmFiles},
    ...{query, isolated},
  });
  const expected = isolated ? threads : 1;
  const isRight = report.threads === expected && report.helped > 0 === expected > 1;
  console.log(
    `${isRight ? 'ok' : 'FAILED'}: ${title}: ${report.threads} of ${threads} threads, ${report.helped} calls by workers`,
  );
  if (!isRight) process.exitCode = 1;
  return report;
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

await runStorageTests();

/** Runs the tests that need nothing of Node but a folder, on the page's own storage. */
async function runStorageTests(): Promise<void> {
  const tests = ['files/directory_handle', 'browser_storage'];
  const nodeModules = fileURLToPath(new URL('chromium/node_modules.ts', import.meta.url));
  const script = await bundlePage(null, {
    stdin: {
      resolveDir: fileURLToPath(new URL('..', import.meta.url)),
      contents: [
        "import {runMocha} from './scripts/chromium/run_mocha';",
        "import '@tensorflow/tfjs-backend-cpu';",
        "import {mochaHooks} from './test/support/hooks';",
        "mocha.setup({reporter: 'dot', ui: 'bdd', timeout: 30_000, rootHooks: mochaHooks});",
        ...tests.map((name) => `await import('./test/${name}_test.ts');`),
        'runMocha();',
      ].join('\n'),
    },
    alias: {'node:fs': nodeModules, 'node:url': nodeModules},
    define: {
      'process.env.OWLORE_BACKENDS': '"cpu"',
      'process.env.OWLORE_CHOOSES': '"false"',
    },
  });
  const mocha = createRequire(import.meta.url).resolve('mocha/mocha.js');
  const {passed, failed} = await runPage<Counts>({
    html: scriptPage('/test/llama/files/tests.js').replace(
      '<body>',
      '<script src="/mocha.js"></script><body>',
    ),
    files: {
      '/mocha.js': readFileSync(mocha),
      // as deep as the files that read fixtures
      '/test/llama/files/tests.js': script,
      '/test/': new URL('../test/', import.meta.url),
    },
    onProgress: (message) => {
      const {path, error} = message as Progress;
      if (error !== undefined) console.error(`FAILED: ${path.join(' › ')}: ${error}`);
    },
  });
  console.log(`${failed > 0 ? 'FAILED' : 'ok'}: storage: ${passed} tests passed, ${failed} failed`);
  if (failed > 0 || passed === 0) process.exitCode = 1;
}

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
