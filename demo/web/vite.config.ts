import {createHash} from 'node:crypto';
import {readdirSync, readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {defineConfig, type Plugin} from 'vite';
import {finetuningTexts, pretrainingTexts} from '../../tools/texts.ts';
import {contentSecurityPolicy, pageHeaders} from './content_security_policy.ts';
import {needKernels} from './need_kernels.ts';

const modelFolder = new URL('../model/', import.meta.url);
/** Of the addresses, the most recent ones: about as long as the novel. */
const addressCount = 36;

needKernels();

/** The built-in model and texts, as files beside the page. */
function builtIns(): Plugin {
  return {
    name: 'built-in model and texts',
    generateBundle() {
      const emit = (fileName: string, source: string | Uint8Array) =>
        this.emitFile({type: 'asset', fileName, source});
      for (const file of readdirSync(modelFolder)) {
        emit(`model/${file}`, readFileSync(new URL(file, modelFolder)));
      }
      emit('texts/moby-dick.txt', asParagraphs(finetuningTexts().train));
      const addresses = pretrainingTexts().train.slice(-addressCount);
      emit('texts/state-of-the-union.txt', asParagraphs(addresses));
    },
  };
}

/** Documents as one text, in which a paragraph is one line and a blank line ends it. */
function asParagraphs(documents: readonly string[]): string {
  return documents
    .flatMap((document) => document.split(/\n\s*\n/))
    .map((paragraph) => paragraph.replace(/\s+/g, ' ').trim())
    .filter((paragraph) => paragraph !== '')
    .join('\n\n');
}

/** Tells where tfjs's binaries are, which the library's build puts beside its worker, and its source does not have. */
function binaries(): Plugin {
  const folder = '../../node_modules/@tensorflow/tfjs-backend-wasm/dist/';
  return {
    name: 'binaries of tfjs',
    enforce: 'pre',
    transform: (code, id) =>
      id.endsWith('/src/worker/backend.ts')
        ? code.replaceAll(/(?<=new URL\(')[.][/](?=[\w-]+[.]wasm')/g, folder)
        : null,
  };
}

/**
 * Keeps uPlot from making formats of `Intl`, which it has for what this page formats itself: the first one in a tab takes as long as all
 * else until the page is there.
 */
function uplotWithoutIntl(): Plugin {
  const formats = {
    "new Intl.NumberFormat(domEnv ? nav.language : 'en-US')": '{format: String}',
    'new Intl.DateTimeFormat().resolvedOptions().timeZone': "'UTC'",
  };
  return {
    name: 'uPlot without Intl',
    transform(code, id) {
      if (!id.endsWith('/uPlot.esm.js')) return null;
      for (const [format, other] of Object.entries(formats)) {
        if (!code.includes(format)) throw new Error(`uPlot has no ${format} any more`);
        code = code.replace(format, other);
      }
      return {code, map: null};
    },
  };
}

/** The policy as a meta tag, for hosts that send no headers. */
function policyTag(): Plugin {
  return {
    name: 'content security policy',
    transformIndexHtml: () => [
      {
        tag: 'meta',
        attrs: {'http-equiv': 'Content-Security-Policy', content: contentSecurityPolicy},
        injectTo: 'head-prepend',
      },
    ],
  };
}

/** Tells the service worker which files there are, and gives each build a name of its own. */
function fileList(): Plugin {
  return {
    name: 'files of the service worker',
    enforce: 'post',
    generateBundle(_, bundle) {
      const worker = Object.values(bundle).find(
        (file) => file.type === 'chunk' && file.name === 'service_worker',
      );
      if (worker?.type !== 'chunk') throw new Error('there is no service worker in the bundle');
      const built = Object.keys(bundle).filter((name) => !/^service_worker|[.]map$/.test(name));
      const files = [...built, ...readdirSync(new URL('public/', import.meta.url))];
      const hash = createHash('sha256');
      for (const name of files.sort()) {
        const file = bundle[name];
        hash.update(name);
        if (file) hash.update(file.type === 'chunk' ? file.code : file.source);
      }
      const build = JSON.stringify({name: hash.digest('hex').slice(0, 16), files});
      worker.code = worker.code.replace(/["'`]BUILD["'`]/, () => JSON.stringify(build));
    },
  };
}

// What the minifier makes of `typeof` breaks tfjs: docs/browser.md.
const output = {minify: {compress: false}} as const;
const checks = {pluginTimings: false};

export default defineConfig({
  base: './',
  appType: 'mpa', // what is not there is not found
  plugins: [builtIns(), uplotWithoutIntl(), policyTag(), fileList()],
  worker: {format: 'es', plugins: () => [binaries()], rolldownOptions: {output, checks}},
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    rolldownOptions: {
      checks,
      input: {
        index: fileURLToPath(new URL('index.html', import.meta.url)),
        service_worker: fileURLToPath(new URL('service_worker.ts', import.meta.url)),
      },
      output: {
        ...output,
        entryFileNames: ({name}) =>
          name === 'service_worker' ? '[name].js' : 'assets/[name]-[hash].js',
      },
    },
  },
  preview: {headers: pageHeaders},
});
