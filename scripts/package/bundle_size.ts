/** What the packed library adds to a page, by esbuild, Vite and webpack. */
import {execFileSync} from 'node:child_process';
import {readFileSync, writeFileSync} from 'node:fs';
import {join, relative} from 'node:path';
import {gzipSync} from 'node:zlib';
import {build} from 'esbuild';

/** Most bytes, compressed by gzip, that a page loads at once of this package. */
const LIMIT = 42_000;

/**
 * Most bytes that a page with tfjs loads more than with `tf.train.adam`. Of those by webpack, 20 kB are what it adds to any page with an
 * `import()` that uses tfjs, see docs/browser.md.
 */
const LIMITS_WITH_TFJS = {esbuild: 46_500, Vite: 45_000, webpack: 69_500};

/** Most bytes, compressed by gzip, of each file for script tags. */
const LIMITS_OF_SCRIPTS = {'tfjs-owlore.min.js': 156_000, 'tfjs-owlore-llama.min.js': 112_000};

const PAGE = `
import {OwLoreOptimizer, LayerSamplingCallback, outlierScores} from 'tfjs-owlore';
console.log(OwLoreOptimizer, LayerSamplingCallback, outlierScores);
`;

/** A file of a bundle, and the files of it that it names. */
interface Chunk {
  name: string;
  code: string;
  isEntry: boolean;
  /** Those that come with it. */
  imports: string[];
}

/** Throws if a page loads more at once than it may, or there is something in its bundle that is for Node. */
export async function checkBundleSize(app: string): Promise<void> {
  const entry = join(app, 'page.ts');
  writeFileSync(entry, PAGE);
  const bundles = {esbuild: await byEsbuild(app, entry), Vite: byVite(app, entry)};
  for (const [title, chunks] of Object.entries(bundles)) {
    const atOnce = loadedAtOnce(chunks);
    const size = sum(atOnce.map(sizeOf));
    const later = chunks.filter((chunk) => !atOnce.includes(chunk) && sizeOf(chunk) > 1000);
    console.log(
      `${title}: ${size} bytes (gzip) at once, limit ${LIMIT}; on demand: ` +
        later.map((chunk) => `${chunk.name} ${sizeOf(chunk)}`).join(', '),
    );
    if (size > LIMIT) throw new Error(`${title}: ${size} bytes are loaded at once`);
    if (later.length === 0) throw new Error(`${title}: nothing is loaded on demand`);
    for (const {name, code} of chunks) {
      if (code.includes('executeSingleOutput')) {
        throw new Error(`${title}: ${name} has kernels for tensorflow`);
      }
    }
  }
}

/** Throws if a file for script tags is larger than it may be. */
export function checkScriptSizes(app: string): void {
  for (const [name, limit] of Object.entries(LIMITS_OF_SCRIPTS)) {
    const code = readFileSync(join(app, 'node_modules/tfjs-owlore/dist', name), 'utf8');
    const size = gzipSync(code, {level: 9}).length;
    console.log(`${name}: ${size} bytes (gzip), limit ${limit}`);
    if (size > limit) throw new Error(`${name}: ${size} bytes`);
  }
}

/**
 * Prints how much more a page loads with this library's optimizer and callback than with `tf.train.adam`, tfjs included. Throws if it is
 * more than it may be.
 */
export async function checkSizeWithTfjs(app: string): Promise<void> {
  const entries = (['adam', 'owlore'] as const).map((optimizer) => {
    const entry = join(app, `${optimizer}.js`);
    writeFileSync(entry, pageWithTfjs(optimizer));
    return entry;
  });
  const bundlers = {esbuild: byEsbuild, Vite: byVite, webpack: byWebpack};
  for (const [title, limit] of Object.entries(LIMITS_WITH_TFJS)) {
    const sizes: number[] = [];
    for (const entry of entries) {
      const chunks = await bundlers[title as keyof typeof bundlers](app, entry, false);
      sizes.push(sum(loadedAtOnce(chunks).map(sizeOf)));
    }
    const more = sizes[1]! - sizes[0]!;
    console.log(`${title}, with tfjs: ${sizes.join(' -> ')} bytes, ${more} more, limit ${limit}`);
    if (more > limit) throw new Error(`${title}: ${more} bytes more than with tf.train.adam`);
  }
}

function pageWithTfjs(optimizer: 'adam' | 'owlore'): string {
  const [imports, made, callbacks] =
    optimizer === 'adam'
      ? ['', 'tf.train.adam(0.01)', '']
      : [
          "import {LayerSamplingCallback, OwLoreOptimizer} from 'tfjs-owlore';",
          'new OwLoreOptimizer({learningRate: 0.01})',
          'new LayerSamplingCallback()',
        ];
  return `
    import * as tf from '@tensorflow/tfjs-core';
    import * as tfl from '@tensorflow/tfjs-layers';
    import '@tensorflow/tfjs-backend-wasm';
    ${imports}
    const {dense} = tfl.layers;
    const model = tfl.sequential({layers: [dense({units: 8, inputShape: [2]}), dense({units: 1})]});
    model.compile({optimizer: ${made}, loss: 'meanSquaredError'});
    const x = tf.randomNormal([64, 2]);
    const training = model.fit(x, tf.sum(x, 1, true), {epochs: 2, callbacks: [${callbacks}]});
    void training.then(({history}) => console.log(history.loss));
  `;
}

async function byEsbuild(app: string, entry: string, leaveTfjs = true): Promise<Chunk[]> {
  const {outputFiles, metafile} = await build({
    entryPoints: [entry],
    absWorkingDir: app,
    bundle: true,
    minify: true,
    format: 'esm',
    splitting: true,
    external: leaveTfjs ? ['@tensorflow/*'] : [],
    outdir: 'out',
    metafile: true,
    write: false,
    logLevel: 'error',
  });
  return outputFiles.map(({path, text}) => {
    const {entryPoint, imports} = metafile.outputs[relative(app, path)]!;
    const names = imports.filter(({kind, external}) => kind === 'import-statement' && !external);
    return {
      name: relative(app, path),
      code: text,
      isEntry: entryPoint === relative(app, entry),
      imports: names.map((found) => found.path),
    };
  });
}

/** Of the Vite that is installed there. */
function byVite(app: string, entry: string, leaveTfjs = true): Chunk[] {
  const program = join(app, 'vite_bundle.mjs');
  const found = join(app, 'vite_bundle.json');
  writeFileSync(
    program,
    `
    import {writeFileSync} from 'node:fs';
    import {build} from 'vite';
    const {output} = await build({
      root: ${JSON.stringify(app)},
      logLevel: 'error',
      build: {write: false, rollupOptions: {input: ${JSON.stringify(entry)}, external: ${leaveTfjs ? '/^@tensorflow/' : '[]'}}},
    });
    const chunks = output.map(({fileName: name, code = '', isEntry = false, imports = []}) =>
      ({name, code, isEntry, imports}));
    writeFileSync(${JSON.stringify(found)}, JSON.stringify(chunks));
    `,
  );
  execFileSync('node', [program], {cwd: app, stdio: 'inherit'});
  return JSON.parse(readFileSync(found, 'utf8')) as Chunk[];
}

/** Of the webpack that is installed there, with nothing configured but the mode. */
function byWebpack(app: string, entry: string): Chunk[] {
  const program = join(app, 'webpack_bundle.mjs');
  const output = join(app, 'webpack');
  const found = join(app, 'webpack_bundle.json');
  writeFileSync(
    program,
    `
    import {readFileSync, writeFileSync} from 'node:fs';
    import webpack from 'webpack';
    const path = ${JSON.stringify(output)};
    webpack({mode: 'production', entry: ${JSON.stringify(entry)}, output: {path, clean: true}}, (error, stats) => {
      if (error || stats.hasErrors()) throw error ?? new Error(stats.toString());
      const {assets, entrypoints} = stats.toJson({assets: true, entrypoints: true});
      const atOnce = entrypoints.main.assets.map(({name}) => name);
      const chunks = assets.map(({name}) => ({
        name,
        code: readFileSync(path + '/' + name, 'utf8'),
        isEntry: atOnce.includes(name),
        imports: [],
      }));
      writeFileSync(${JSON.stringify(found)}, JSON.stringify(chunks));
    });
    `,
  );
  execFileSync('node', [program], {cwd: app, stdio: 'inherit'});
  return JSON.parse(readFileSync(found, 'utf8')) as Chunk[];
}

/** The entry, and what comes with it. */
function loadedAtOnce(chunks: readonly Chunk[]): Chunk[] {
  const atOnce = new Set(chunks.filter(({isEntry}) => isEntry));
  for (const {imports} of atOnce) {
    for (const name of imports) {
      const chunk = chunks.find((other) => other.name === name);
      if (chunk) atOnce.add(chunk);
    }
  }
  return [...atOnce];
}

function sizeOf({code}: Chunk): number {
  return gzipSync(code, {level: 9}).length;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
