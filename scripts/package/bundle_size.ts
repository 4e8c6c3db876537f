/** What the packed library adds to a page, by esbuild and by Vite, beside tfjs. */
import {execFileSync} from 'node:child_process';
import {readFileSync, writeFileSync} from 'node:fs';
import {join, relative} from 'node:path';
import {gzipSync} from 'node:zlib';
import {build} from 'esbuild';

/** Most bytes, compressed by gzip, that a page loads at once. */
const LIMIT = 40_000;

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

async function byEsbuild(app: string, entry: string): Promise<Chunk[]> {
  const {outputFiles, metafile} = await build({
    entryPoints: [entry],
    absWorkingDir: app,
    bundle: true,
    minify: true,
    format: 'esm',
    splitting: true,
    external: ['@tensorflow/*'],
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
      isEntry: entryPoint === 'page.ts',
      imports: names.map((found) => found.path),
    };
  });
}

/** Of the Vite that is installed there. */
function byVite(app: string, entry: string): Chunk[] {
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
      build: {write: false, rollupOptions: {input: ${JSON.stringify(entry)}, external: /^@tensorflow/}},
    });
    const chunks = output.map(({fileName: name, code = '', isEntry = false, imports = []}) =>
      ({name, code, isEntry, imports}));
    writeFileSync(${JSON.stringify(found)}, JSON.stringify(chunks));
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
