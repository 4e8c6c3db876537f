import {execFileSync, spawnSync} from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import ts from 'typescript';
import {checkBundleSize, checkScriptSizes, checkSizeWithTfjs} from './package/bundle_size';
import {
  checkLanguageModel,
  checkScriptTags,
  checkViteApp,
  checkWorkers,
} from './package/in_chromium';
import {checkLinks} from './package/links';
import {checkTestRunners} from './package/test_runners';

/**
 * Checks the package as a user gets it. Packs the tarball, checks it with publint and attw, and installs it with its peers into
 * an empty project. There it follows the links of the pages, type-checks and runs the example of README.md, as an ES module and as
 * CommonJS, runs that of docs/your-model.md with second derivatives, loads every entry point both ways, and runs the command line. In a second
 * project the package is bundled, and the examples of docs/browser.md train in chromium. In others it trains in tests of Jest, as
 * docs/limits.md configures it, of Vitest and of Node.
 */
const root = fileURLToPath(new URL('..', import.meta.url));
const {name, exports, peerDependencies} = JSON.parse(
  readFileSync(join(root, 'package.json'), 'utf8'),
) as {
  name: string;
  exports: Record<string, unknown>;
  peerDependencies: Record<string, string>;
};
const entries = Object.keys(exports)
  .filter((entry) => !entry.endsWith('.json'))
  .map((entry) => entry.replace('.', name));
/** As the script tags of docs/browser.md have it. */
const TFJS = '@tensorflow/tfjs@4.22.0';
const temporary = mkdtempSync(join(tmpdir(), 'tfjs-owlore-package-'));

try {
  const tarball = await pack();
  await step('publint', () => run(root, 'npx', 'publint', '--strict', tarball));
  // `require` gets an ES module, too, which is fine from Node 20.19 on.
  const ignored = ['--ignore-rules', 'cjs-resolves-to-esm'];
  await step('attw', () => run(root, 'npx', 'attw', tarball, ...ignored));

  const project = join(temporary, 'project');
  await step('install into an empty project', () =>
    install(project, tarball, ...peers('core', 'layers', 'backend-wasm')),
  );
  await step('only what the library needs is installed', () => checkInstalled(project));
  await step('links of the pages', () => checkLinks(join(project, 'node_modules', name)));

  const example = readExample('README.md', 'Example', 'ts');
  writeFileSync(join(project, 'example.mts'), example);
  writeFileSync(join(project, 'example.mjs'), transpile(example, ts.ModuleKind.ESNext));
  // CommonJS has no top-level await.
  const body = transpile(example, ts.ModuleKind.CommonJS);
  writeFileSync(join(project, 'example.cjs'), `(async () => {\n${body}\n})();\n`);
  await step('types', () => typeCheck(project));
  await step('example as an ES module', () => run(project, 'node', 'example.mjs'));
  await step('example as CommonJS', () => run(project, 'node', 'example.cjs'));
  await step('example with second derivatives', () => {
    const text = readExample('docs/your-model.md', 'A loss with a gradient in it', 'ts');
    writeFileSync(join(project, 'second.mjs'), transpile(text, ts.ModuleKind.ESNext));
    run(project, 'node', 'second.mjs');
  });
  await step('all entry points, both ways', () => loadEntryPoints(project));
  await step('command line', () => runCommandLine(project));

  const transformed = ['@babel/core@7', '@babel/preset-env@7', 'ts-jest@29', 'typescript@5'];
  for (const version of [30, 29]) {
    const folder = join(temporary, `jest${version}`);
    const withOthers = version === 30;
    const others = withOthers ? ['vitest@4'] : [];
    const runners = [`jest@${version}`, `@types/jest@${version}`, ...others, ...transformed];
    await step(`tests by Jest ${version}${withOthers ? ', Vitest and Node' : ''}`, () => {
      install(folder, tarball, ...runners, ...peers('core', 'layers', 'backend-wasm'));
      // the worker's entry is for pages alone
      const inNode = entries.filter((entry) => entry !== `${name}/worker`);
      checkTestRunners(folder, inNode, {
        babel: readExample('docs/limits.md', 'Jest with Babel', 'js'),
        tsJest: readExample('docs/limits.md', 'Jest with ts-jest', 'js'),
        withOthers,
      });
    });
  }

  const app = join(temporary, 'app');
  await step('install beside bundlers and all of tfjs', () =>
    install(app, tarball, 'vite@8', 'webpack@5', ...peers('backend-wasm', 'backend-webgpu'), TFJS),
  );
  await step('size in a bundle', () => checkBundleSize(app));
  await step('size of the files for script tags', () => checkScriptSizes(app));
  await step('size in a bundle with tfjs', () => checkSizeWithTfjs(app));
  const [page, bundled] = ['docs/browser.md', 'With a bundler'];
  await step('Vite, in chromium', () =>
    checkViteApp(app, readExample(page, bundled, 'ts'), readExample(page, bundled, 'js')),
  );
  const tags = readExample(page, 'Without a bundler', 'html');
  await step('script tags, in chromium', () => checkScriptTags(app, tags));
  await step('Web Workers, in chromium', () => checkWorkers(app));
  const training = readExample(page, 'A language model in a worker', 'ts');
  await step('a language model, by Vite, webpack, a module and script tags', () =>
    checkLanguageModel(app, training, tags),
  );
} finally {
  rmSync(temporary, {recursive: true, force: true});
}

async function step(title: string, body: () => unknown): Promise<void> {
  const start = performance.now();
  console.log(`\n# ${title}`);
  await body();
  console.log(`(${((performance.now() - start) / 1000).toFixed(0)} s)`);
}

function run(cwd: string, command: string, ...args: string[]): void {
  execFileSync(command, args, {cwd, stdio: 'inherit'});
}

async function pack(): Promise<string> {
  await step('npm pack', () =>
    run(root, 'npm', 'pack', '--silent', '--pack-destination', temporary),
  );
  const name = readdirSync(temporary).find((file) => file.endsWith('.tgz'));
  if (name === undefined) throw new Error('npm pack made no tarball');
  return join(temporary, name);
}

/** tfjs's packages, as the package asks for them. */
function peers(...names: string[]): string[] {
  return names.map(
    (name) => `@tensorflow/tfjs-${name}@${peerDependencies[`@tensorflow/tfjs-${name}`]!}`,
  );
}

function install(project: string, ...packages: string[]): void {
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{"private": true}\n');
  const args = ['install', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=warn'];
  const {status, stderr} = spawnSync('npm', [...args, ...packages], {
    cwd: project,
    encoding: 'utf8',
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  if (status !== 0) throw new Error(stderr);
  if (stderr.includes(name)) throw new Error(`npm warns of the package:\n${stderr}`);
}

/**
 * The union package would hide a use of ops that tfjs-core and tfjs-layers alone do not register. What the command line and language
 * models take is in the package itself.
 */
function checkInstalled(project: string): void {
  const tfjs = readdirSync(join(project, 'node_modules/@tensorflow'));
  const others = readdirSync(join(project, 'node_modules'));
  console.log([...tfjs, ...others].join(', '));
  if (tfjs.includes('tfjs')) throw new Error('@tensorflow/tfjs must not be installed');
  const unneeded = [
    '@huggingface',
    'cli-progress',
    'cli-table3',
    'commander',
    'papaparse',
    'uplot',
  ];
  const found = unneeded.filter((each) => others.includes(each));
  if (found.length > 0) throw new Error(`${found.join(', ')} must not be installed`);
}

/** The first code block in a language under a heading of a page. */
function readExample(page: string, heading: string, language: string): string {
  const text = readFileSync(join(root, page), 'utf8');
  const section = new RegExp(`^##+ ${heading}$([^]*?)(?=^##+ |(?![^]))`, 'm').exec(text)?.[1] ?? '';
  const code = new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'm').exec(section)?.[1];
  if (code === undefined) throw new Error(`${page} has no ${language} block under "${heading}"`);
  return code;
}

function transpile(code: string, module: ts.ModuleKind): string {
  const compilerOptions = {module, target: ts.ScriptTarget.ES2022, esModuleInterop: true};
  return ts.transpileModule(code, {compilerOptions}).outputText;
}

/** Type-checks by each way of finding a module: Node's, as an ES module and as CommonJS, that of bundlers, and Node 10's. */
function typeCheck(project: string): void {
  const lines = entries.map(
    (entry, i) => `import * as entry${i} from '${entry}';\nexport const type${i} = entry${i};\n`,
  );
  // Types that are not found would be \`any\`, and this no error.
  const use = `
    import {LayerSamplingCallback, OwLoreOptimizer} from '${name}';
    // @ts-expect-error
    new OwLoreOptimizer({rank: 'high'});
    new LayerSamplingCallback().events.on('sample', ({blocks}) => blocks.join());
    // @ts-expect-error
    new LayerSamplingCallback().events.on('simple', () => undefined);
  `;
  for (const extension of ['mts', 'cts', 'ts']) {
    writeFileSync(join(project, `entries.${extension}`), use + lines.join(''));
  }
  const ways = {
    nodenext: {module: 'nodenext', files: ['example.mts', 'entries.mts', 'entries.cts']},
    bundler: {module: 'esnext', files: ['example.mts', 'entries.ts']},
    node10: {module: 'commonjs', ignoreDeprecations: '6.0', files: ['entries.ts']},
  };
  for (const [moduleResolution, {files, ...options}] of Object.entries(ways)) {
    const compilerOptions = {
      moduleResolution,
      target: 'es2022',
      lib: ['es2022', 'dom'],
      types: [],
      strict: true,
      skipLibCheck: true,
      noEmit: true,
      ...options,
    };
    const config = join(project, `tsconfig.${moduleResolution}.json`);
    writeFileSync(config, JSON.stringify({compilerOptions, files}));
    run(root, 'npx', 'tsc', '-p', config);
    console.log(`${moduleResolution}: ${files.join(', ')}`);
  }
}

/** `import` and `require` give the same module, with one copy of tfjs-core under it. */
function loadEntryPoints(project: string): void {
  const program = `
    import assert from 'node:assert/strict';
    import {createRequire} from 'node:module';
    import * as tf from '@tensorflow/tfjs-core';
    import '@tensorflow/tfjs-backend-wasm';
    const require = createRequire(import.meta.url);
    for (const entry of ${JSON.stringify(entries)}) {
      const required = require(entry);
      const imported = await import(entry);
      const names = Object.keys(imported);
      assert.ok(names.length > 0, entry + ' exports nothing');
      for (const name of names) assert.equal(required[name], imported[name], entry + ': ' + name);
      assert.deepEqual(Object.keys(required), names);
      console.log(entry + ': ' + names.join(', '));
    }
    const {OwLoreOptimizer} = require('${name}');
    for (const core of [tf, require('@tensorflow/tfjs-core')]) {
      assert.equal(Object.getPrototypeOf(OwLoreOptimizer), core.Optimizer);
      assert.equal(core.engine(), tf.engine());
    }
    console.log('require and import: one OwLoreOptimizer, one tfjs-core');
  `;
  writeFileSync(join(project, 'entries.mjs'), program);
  run(project, 'node', 'entries.mjs');
}

/** Fine-tunes the demo's model on the backend that is installed, and generates with the result. */
function runCommandLine(project: string): void {
  const cli = (...args: string[]): void =>
    run(project, 'npx', '--no-install', 'tfjs-owlore', ...args);
  const model = join(root, 'demo/model');
  cli('--help');
  const examples = Array.from({length: 12}, (_, i) => ({text: `Whale ${i} was white.`}));
  const data = join(project, 'texts.jsonl');
  writeFileSync(data, examples.map((example) => `${JSON.stringify(example)}\n`).join(''));
  const output = join(project, 'run');
  cli('finetune', '--model', model, '--data', data, '--output', output, '--steps', '2');
  cli('generate', '--model', join(output, 'model'), '--prompt', 'Whale', '--max-new-tokens', '8');
  const torch = ['--engine', 'torch', '--python', process.execPath];
  const args = ['--model', model, '--data', data, '--output', join(project, 'torch'), ...torch];
  const {stderr} = spawnSync('npx', ['--no-install', 'tfjs-owlore', 'finetune', ...args], {
    cwd: project,
    encoding: 'utf8',
  });
  // Node is no Python, and says so at the file of Python that comes with the package
  if (!stderr.includes('does not run as Python does (Node.js')) throw new Error(stderr);
  if (!existsSync(join(project, 'node_modules', name, 'python/owlore/training.py')))
    throw new Error('the files of Python are not in the package');
}
