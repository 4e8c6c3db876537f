import {copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {basename, join} from 'node:path';
import {build, type Plugin} from 'esbuild';
import {defineConfig} from 'tsup';
import * as reportFiles from './src/cli/report/report_files';

const library = {
  index: 'src/index.ts',
  'llama/index': 'src/llama/index.ts',
  'lora/index': 'src/lora/index.ts',
  'estimate/index': 'src/memory/estimate/index.ts',
  'kernels/cpu/index': 'src/kernels/cpu/index.ts',
  'kernels/tensorflow/index': 'src/kernels/tensorflow/index.ts',
  'kernels/wasm/index': 'src/kernels/wasm/index.ts',
  'kernels/webgpu/index': 'src/kernels/webgpu/index.ts',
};

/** What a page loads of `tfjs-owlore/worker`: one file, which a page may also import where there is no bundler. */
const workerEntry = {'worker/index': 'src/worker/index.ts'};

const scripts = ['src/entries/script.ts', 'src/entries/script_llama.ts'];

/** What the files for script tags take from the global variable `tf`. */
const tfjsGlobal = `
  const tf = globalThis.tf;
  if (!tf || !tf.layers) throw new Error('tfjs-owlore: tf is not there; load @tensorflow/tfjs by a script tag before this one');
  module.exports = tf;
`;

/** What a user installs beside the package: backends, not all of which are in the manifest. */
const notBundled = [/^@tensorflow\//, 'webgpu'];

/** Packages whose code is in one of the builds. */
const bundled = new Set(['node_modules/typed-emitter']); // whose types are in those of this library

/** Writes the licences of all packages whose code is in a build, because they must accompany copies of it. */
const licences: Plugin = {
  name: 'licences',
  setup(build) {
    build.onEnd(({metafile}) => {
      for (const input of Object.keys(metafile?.inputs ?? {})) {
        const name = /.*node_modules\/((@[^/]+\/)?[^/]+)/.exec(input);
        // what the browser field of a package leaves out is not in the build
        if (name && !input.startsWith('(disabled)')) bundled.add(name[0]);
      }
      const texts = [...bundled].sort().map((folder) => {
        const {name, version, license} = JSON.parse(
          readFileSync(join(folder, 'package.json'), 'utf8'),
        ) as Record<'name' | 'version' | 'license', string>;
        const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
        const text = file === undefined ? '' : readFileSync(join(folder, file), 'utf8');
        return `${name} ${version} (${license})\n\n${text.trim()}\n`;
      });
      mkdirSync('dist', {recursive: true});
      writeFileSync('dist/THIRD_PARTY_LICENSES.txt', texts.join(`\n${'-'.repeat(80)}\n\n`));
    });
  },
};

/** Copies the binaries of tfjs's wasm backend beside the worker, which has the rest of that backend in it. */
const wasmFiles: Plugin = {
  name: 'wasm files',
  setup(build) {
    build.onEnd(() => {
      mkdirSync('dist/worker', {recursive: true});
      for (const name of ['tfjs-backend-wasm.wasm', 'tfjs-backend-wasm-simd.wasm'])
        copyFileSync(
          `node_modules/@tensorflow/tfjs-backend-wasm/dist/${name}`,
          `dist/worker/${name}`,
        );
    });
  },
};

/**
 * The two files for script tags hold no code twice: it is split first, then each entry becomes one script with its chunks. The global
 * variable `owlore` ties them together: the first script also holds out the chunks that both need, by names that have the hash of what
 * they are.
 */
const splitScripts: Plugin = {
  name: 'split scripts',
  setup({onStart, onResolve, onLoad}) {
    const codeOf = new Map<string, string>();
    const inFirst = new Set(['script.js']);
    const heldOut = new Set<string>();
    onStart(async () => {
      const {outputFiles, metafile} = await build({
        entryPoints: scripts,
        bundle: true,
        splitting: true,
        format: 'esm',
        target: 'es2022',
        platform: 'browser',
        minifyIdentifiers: true,
        external: ['@tensorflow/*'],
        // by which the worker's file is found
        define: {'import.meta.url': 'owlore._worker'},
        outdir: '.',
        metafile: true,
        write: false,
        plugins: [licences],
      });
      for (const {path, text} of outputFiles) codeOf.set(basename(path), text);
      const importsOf = (name: string): string[] =>
        metafile.outputs[name]!.imports.flatMap(({path, external}) => (external ? [] : [path]));
      for (const name of inFirst) importsOf(name).forEach((other) => inFirst.add(other));
      for (const name of codeOf.keys()) {
        if (!inFirst.has(name))
          importsOf(name).forEach((other) => inFirst.has(other) && heldOut.add(other));
      }
    });
    onLoad({filter: /entries.script\.ts$/}, () => {
      const names = ['script.js', ...heldOut];
      const lines = names.map((name, i) => `import * as part${i} from './${name}';\n`);
      const chunks = names.slice(1).map((name, i) => `'${name}': part${i + 1}`);
      return {
        contents: `${lines.join('')}globalThis.owlore = {...part0, _chunks: {${chunks.join()}}};`,
      };
    });
    onLoad({filter: /entries.script_llama\.ts$/}, () => ({
      contents: `
        import * as exported from './script_llama.js';
        // the worker is beside this file; one that was loaded by importScripts has no such tag
        const {src = location.href} = globalThis.document?.currentScript ?? {};
        Object.assign(owlore, exported, {_worker: new URL('worker/', src).href});
      `,
    }));
    onResolve({filter: /^\.\/[\w-]+\.js$/}, ({path, importer}) => {
      const name = basename(path);
      const isHere = importer.endsWith('script.ts') || inFirst.has(importer) || !inFirst.has(name);
      return {path: name, namespace: isHere ? 'script' : 'first script'};
    });
    onLoad({filter: /^/, namespace: 'script'}, ({path}) => ({contents: codeOf.get(path)!}));
    onLoad({filter: /^/, namespace: 'first script'}, ({path}) => ({
      contents: `
        const chunk = globalThis.owlore?._chunks?.['${path}'];
        if (!chunk) throw new Error('tfjs-owlore: load tfjs-owlore, of the same version, by a script tag before this one');
        module.exports = chunk;
      `,
    }));
  },
};

export default defineConfig([
  // Dependencies and peers stay imports; what only language models need (tokenizers, templates) is bundled, so that it is
  // not installed with the optimizer. Shared chunks (splitting) keep one copy of every class and of the kernels' state, however
  // many of the entries a program loads.
  {
    entry: {...library, node: 'src/entries/node.ts', 'llama/node': 'src/entries/llama_node.ts'},
    format: 'esm',
    target: 'es2022',
    dts: {
      entry: {...library, ...workerEntry},
      compilerOptions: {ignoreDeprecations: '6.0'},
      // Its default export is no type for TypeScript's resolution of Node.
      resolve: ['typed-emitter'],
    },
    external: notBundled,
    splitting: true,
    sourcemap: true,
    esbuildPlugins: [licences],
  },
  {
    entry: workerEntry,
    format: 'esm',
    target: 'es2022',
    platform: 'browser',
    noExternal: [/.*/],
    sourcemap: true,
    esbuildPlugins: [licences],
  },
  // The worker of `tfjs-owlore/worker`, a program of its own, with tfjs and its backends: so it runs wherever its file is found.
  {
    entry: {'worker/training_worker': 'src/worker/training_worker.ts'},
    format: 'esm',
    target: 'es2022',
    platform: 'browser',
    splitting: true,
    noExternal: [/.*/],
    // with the comments that tell bundlers which `import()` is not theirs
    esbuildOptions(options) {
      Object.assign(options, {minifyIdentifiers: true, minifySyntax: true});
      // of Node, which some bundlers replace in tfjs's code
      options.define = {...options.define, __filename: 'undefined', __dirname: 'undefined'};
    },
    esbuildPlugins: [licences, wasmFiles],
  },
  // The command line, a program of its own, with the packages that only it needs; some of them are CommonJS.
  {
    entry: {'cli/main': 'src/cli/main.ts'},
    format: 'esm',
    target: 'es2022',
    external: notBundled,
    splitting: false,
    sourcemap: true,
    banner: {
      js: "import {createRequire as requireOf} from 'node:module';\nconst require = requireOf(import.meta.url);",
    },
    esbuildPlugins: [
      licences,
      {
        name: 'texts of a report',
        setup(build) {
          bundled.add('node_modules/uplot');
          const contents = Object.entries(reportFiles).map(
            ([name, text]) => `export const ${name} = ${JSON.stringify(text)};\n`,
          );
          build.onLoad({filter: /report_files\.ts$/}, () => ({contents: contents.join('')}));
        },
      },
    ],
  },
  {
    entry: {'tfjs-owlore.min': scripts[0]!, 'tfjs-owlore-llama.min': scripts[1]!},
    format: 'iife',
    target: 'es2022',
    platform: 'browser',
    minify: true,
    noExternal: [/.*/],
    outExtension: () => ({js: '.js'}),
    esbuildPlugins: [
      splitScripts,
      {
        name: 'tfjs from a script tag',
        setup(build) {
          const filter = /^@tensorflow\/tfjs-(core|layers)$/;
          build.onResolve({filter}, ({path}) => ({path, namespace: 'global'}));
          build.onLoad({filter, namespace: 'global'}, () => ({contents: tfjsGlobal}));
        },
      },
    ],
  },
]);
