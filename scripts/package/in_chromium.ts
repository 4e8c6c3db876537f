/** Trains by the packed library in headless chromium: as a Vite app, beside script tags, and in Web Workers. */
import {execFileSync} from 'node:child_process';
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath, pathToFileURL} from 'node:url';
import {build} from 'esbuild';
import ts from 'typescript';
import {bundlePage, runPage, scriptPage, type Page} from '../../tools/run_page';
import type {ExampleReport} from '../chromium/watch_example';

const watch = await bundlePage(
  fileURLToPath(new URL('../chromium/watch_example.ts', import.meta.url)),
  {format: 'iife'},
);

/** What an example is expected to run on. */
interface Expected {
  backend: 'wasm' | 'webgpu' | 'webgl';
  isShared?: boolean;
}

/** Runs an example; throws if it does not learn, or by other kernels than it should, or says anything. */
async function check(
  title: string,
  page: Page,
  {backend, isShared = false}: Expected,
): Promise<void> {
  const report = await runPage<ExampleReport>({
    ...page,
    files: {...page.files, '/watch.js': watch},
  });
  const [first, last] = report.losses;
  const calls = Object.values(report.kernels).reduce((sum, count) => sum + count, 0);
  console.log(
    `${title}: on ${report.backend}${report.isShared ? ', memory shared by threads' : ''}, ` +
      `loss ${first.toFixed(4)} -> ${last.toFixed(4)}, ${calls} calls of this library's kernels (${Object.keys(report.kernels).join(', ') || 'it has none here'})`,
  );
  const problems = [
    report.backend !== backend && `it ran on ${report.backend}`,
    report.isShared !== isShared && `memory is ${isShared ? 'not ' : ''}shared by threads`,
    !(last < 0.7 * first) && 'it did not learn',
    calls > 0 !== (backend !== 'webgl') && "this library's kernels did not run, or on webgl did",
    ...report.said.filter((line) => !isExpected(line, isShared)),
  ].filter((problem) => problem !== false);
  if (problems.length > 0) throw new Error(`${title}: ${problems.join('\n')}`);
}

/** What the optimizer says of what it does not project, and kernels of why they have one thread. */
function isExpected(line: string, isShared: boolean): boolean {
  const ofThreads = /^info: .* on one thread: this page is not cross-origin isolated/;
  return line.startsWith('info: OwLoreOptimizer: ') || (!isShared && ofThreads.test(line));
}

/** A Vite app of one module, the example of docs/browser.md, on each backend; for threads with the configuration given there. */
export async function checkViteApp(app: string, example: string, config: string): Promise<void> {
  const stated = "setBackend('wasm')";
  if (!example.includes(stated)) throw new Error(`the example of docs/browser.md has no ${stated}`);
  for (const backend of ['wasm', 'webgpu', 'webgl'] as const) {
    const main = example.replace(stated, stated.replace('wasm', backend));
    await check('Vite', buildViteApp(join(app, backend), {'main.ts': main}), {backend});
  }
  const page = buildViteApp(join(app, 'threads'), {'main.ts': example, 'vite.config.js': config});
  await check(
    'Vite, cross-origin isolated',
    {...page, isolated: true},
    {backend: 'wasm', isShared: true},
  );
}

/** Builds an app of these files in a new folder. */
function buildViteApp(folder: string, files: Readonly<Record<string, string>>): Page {
  const html = '<!doctype html><title>app</title><script type="module" src="/main.ts"></script>';
  mkdirSync(folder);
  for (const [name, content] of Object.entries({...files, 'index.html': html})) {
    writeFileSync(join(folder, name), content);
  }
  execFileSync('npx', ['vite', 'build', '--logLevel', 'error'], {cwd: folder, stdio: 'inherit'});
  return {
    html: watched(readFileSync(join(folder, 'dist/index.html'), 'utf8')),
    files: {'/': pathToFileURL(join(folder, 'dist/'))},
  };
}

function watched(html: string): string {
  return html.replace('<title>', '<script src="/watch.js"></script><title>');
}

/** The page of script tags of docs/browser.md, with the files of the CDN from `app`. */
export async function checkScriptTags(app: string, example: string): Promise<void> {
  const {html, files} = fromCdn(app, example);
  await check('script tags', {html: watched(titled(html)), files}, {backend: 'wasm'});
}

/** HTML with files of the CDN from `app`, which here is the page's own host. */
function fromCdn(app: string, example: string): Page {
  const files: Record<string, Buffer | URL> = {};
  const html = example.replaceAll(
    /https:\/\/[^"/]+(\/npm\/((?:@[^/"]+\/)?[^@"]+)@([^/"]+)(\/[^"]+)?)/g,
    (_, path: string, name: string, version: string, file?: string) => {
      const folder = join(app, 'node_modules', name);
      const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
        version: string;
        jsdelivr: string;
      };
      if (version !== manifest.version) throw new Error(`docs/browser.md has ${name} ${version}`);
      if (file === undefined) files[path] = readFileSync(join(folder, manifest.jsdelivr));
      else files[`/npm/${name}@${version}/`] = pathToFileURL(`${folder}/`);
      return path;
    },
  );
  return {html, files};
}

/** A Web Worker bundled by esbuild: a module that loads chunks, and a classic script in one file. */
export async function checkWorkers(app: string): Promise<void> {
  const source = join(app, 'worker.ts');
  writeFileSync(source, WORKER);
  for (const isModule of [true, false]) {
    const {outputFiles} = await build({
      entryPoints: [source],
      bundle: true,
      format: isModule ? 'esm' : 'iife',
      splitting: isModule,
      minify: true,
      outdir: app,
      write: false,
      logLevel: 'error',
    });
    const files: Record<string, string | Buffer | URL> = {
      '/start.js': `new Worker('/start_worker.js', {type: '${isModule ? 'module' : 'classic'}'});`,
      '/start_worker.js': isModule
        ? "import '/watch.js'; import '/worker.js';"
        : "importScripts('/watch.js', '/worker.js');",
      '/wasm/': pathToFileURL(`${app}/node_modules/@tensorflow/tfjs-backend-wasm/dist/`),
    };
    for (const {path, contents} of outputFiles) {
      files[path.slice(app.length)] = Buffer.from(contents);
    }
    const title = isModule ? 'Web Worker, a module' : 'Web Worker, one script';
    await check(title, {html: scriptPage('/start.js'), files}, {backend: 'wasm'});
  }
}

/** A loop of its own, which waits for the optimizer. */
const WORKER = `
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {setWasmPaths} from '@tensorflow/tfjs-backend-wasm';
import {OwLoreOptimizer} from 'tfjs-owlore';

async function main() {
  setWasmPaths(location.origin + '/wasm/');
  await tf.setBackend('wasm');
  const model = tfl.sequential();
  model.add(tfl.layers.dense({units: 32, activation: 'tanh', inputShape: [2]}));
  model.add(tfl.layers.dense({units: 1}));
  const x = tf.randomUniform([64, 2], -1, 1, 'float32', 1);
  const y = tf.sum(x, 1, true);
  const optimizer = new OwLoreOptimizer({learningRate: 0.01});
  model.compile({optimizer, loss: 'meanSquaredError'});
  await optimizer.ready();
  const losses = [];
  for (let step = 0; step < 50; step++) losses.push(await model.trainOnBatch(x, y));
  console.log('loss ' + losses[0] + ' -> ' + losses.at(-1));
}
main();
`;

/**
 * The example of `tfjs-owlore/worker` in docs/browser.md, on the demo's model: as an app of Vite, as one of webpack, both without
 * configuration, as a module of a CDN, which is another host than the page's, and by script tags of such a host, beside a model in the
 * page itself.
 */
export async function checkLanguageModel(
  app: string,
  example: string,
  tags: string,
): Promise<void> {
  const model = "'HuggingFaceTB/SmolLM2-135M-Instruct'";
  if (!example.includes(model)) throw new Error(`the example of docs/browser.md has no ${model}`);
  const main = transpile(example.replace(model, LITTLE));
  const files = {'/model/': new URL('../../demo/model/', import.meta.url)};
  const train = async (title: string, page: Page): Promise<void> => {
    const [first, last] = await runPage<[number, number]>({
      html: page.html.replace('<title>', `${REPORTS_LOSSES}<title>`),
      files: {...files, ...page.files},
      headers: {'access-control-allow-origin': '*'},
    });
    console.log(`${title}: loss ${first.toFixed(4)} -> ${last.toFixed(4)}`);
    if (!(last < first)) throw new Error(`${title}: it did not learn`);
  };
  await train('Vite', buildViteApp(join(app, 'worker'), {'main.ts': main}));

  const folder = join(app, 'worker-webpack');
  mkdirSync(folder);
  writeFileSync(join(folder, 'main.js'), main);
  writeFileSync(join(folder, 'build.cjs'), WEBPACK);
  execFileSync('node', ['build.cjs'], {cwd: folder, stdio: 'inherit'});
  const built = pathToFileURL(join(folder, 'dist/'));
  await train('webpack', {html: titled('<script src="/main.js"></script>'), files: {'/': built}});

  const imported = /import \{ fineTuneInWorker \} from ['"]tfjs-owlore\/worker['"];/;
  const by = (from: string): string =>
    main.replace(imported, `const {fineTuneInWorker} = ${from};`);
  const packed = pathToFileURL(`${app}/node_modules/tfjs-owlore/`);
  const module = `await import(${OTHER_HOST} + '/npm/tfjs-owlore@0.1.0/dist/worker/index.js')`;
  await train('a module of another host', {
    html: titled(`<script type="module">${by(module)}</script>`),
    files: {'/npm/tfjs-owlore@0.1.0/': packed},
  });

  const page = fromCdn(app, tags.replace(/<script type[^]*/, ''));
  const written = JSON.stringify(page.html.replaceAll('src="', 'crossorigin src="HOST')).replaceAll(
    '</',
    '<\\/',
  );
  await train('script tags of another host', {
    html: titled(
      `<script>document.write(${written}.replaceAll('HOST', ${OTHER_HOST}))</script>` +
        `<script type="module">${WITHOUT_WORKER}${by('owlore')}</script>`,
    ),
    files: page.files,
  });
}

/** The demo's model, on the backend that is fast without a GPU. */
const LITTLE = "new URL('/model/', location.href).href, backend: 'wasm', sampleEvery: 0";

/** Reports the losses that an example says, and errors. */
const REPORTS_LOSSES = `<script>
const send = (path, body) => void fetch(path, {method: 'POST', body: JSON.stringify(body)});
const {log} = console;
console.log = (line) => send('/report', line.match(/^loss (\\S+) -> (\\S+)$/).slice(1).map(Number));
addEventListener('error', ({message}) => send('/error', message));
addEventListener('unhandledrejection', ({reason}) => send('/error', String(reason?.stack ?? reason)));
</script>`;

/** The server of the page by another name, which to a browser is another host. */
const OTHER_HOST = "location.origin.replace('localhost', '127.0.0.1')";

/** The demo's model in the page itself, by script tags: it says some words and learns them. */
const WITHOUT_WORKER = `
await tf.setBackend('wasm');
const model = new URL('/model/', location.href).href;
const [{model: llama}, tokenizer] = await Promise.all([owlore.loadLlama(model), owlore.loadTokenizer(model)]);
const {ids} = await owlore.generate(llama, tokenizer.encode('The whale'), {maxNewTokens: 8});
if (ids.length !== 8) throw new Error('nothing was generated');
const x = tf.tensor2d([tokenizer.encode('A whale is no fish.')], undefined, 'int32');
llama.compile({optimizer: new owlore.OwLoreOptimizer({rank: 4}), loss: owlore.sparseCrossEntropy});
const {history} = await llama.fit(x.slice([0, 0], [1, x.shape[1] - 1]), x.slice([0, 1]).expandDims(2), {epochs: 3, verbose: 0});
if (!(history.loss[2] < history.loss[0])) throw new Error('it did not learn: ' + history.loss);
`;

const WEBPACK = `require('webpack')({
  mode: 'development', devtool: false, context: __dirname, entry: './main.js',
  output: {path: __dirname + '/dist', filename: 'main.js'},
}, (error, stats) => {
  if (error) throw error;
  const text = stats.toString({all: false, errors: true, warnings: true});
  if (text !== '') throw new Error(text);
});`;

function titled(body: string): string {
  return `<!doctype html><title>page</title>${body}`;
}

function transpile(code: string): string {
  const compilerOptions = {module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022};
  return ts.transpileModule(code, {compilerOptions}).outputText;
}
