/**
 * Full fine-tuning of the reference workload in headless chromium, in a page that is cross-origin isolated, as a process that `npm run
 * bench -- performance` gives its steps to.
 *
 *   tsx bench/contenders/chromium_contender.ts '{"shape": {…}, "threads": 2, "inWorker": true}'
 */
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {bundlePage, runPage, scriptPage} from '../../tools/run_page';
import type {Reply, Request} from '../harness/protocol';
import type {Shape} from '../harness/workload';
import type {JaxOptions} from './jax_reference';

export interface ChromiumOptions {
  shape: Shape;
  /** Of this library's kernels. */
  threads: number;
  /** Whether all of it runs in a worker, and not on the page's main thread. */
  inWorker: boolean;
  /** For jax-js in the place of this library, with a file from `withStartPoint`. */
  jax?: JaxOptions & {startPoint: string};
}

/** From the start of chromium to the end of the run, in milliseconds. */
const TIMEOUT = 900_000;

const json = process.argv[2]!;
const {inWorker, jax} = JSON.parse(json) as ChromiumOptions;
const requests = createInterface({input: process.stdin})[Symbol.asyncIterator]();
// whoever ends this process also ends its standard input, after which chromium is ended
process.on('SIGTERM', () => undefined);

const workerPage = `<!doctype html><script>
  new Worker('/page.js' + location.search, {type: 'module'}).onerror = ({message}) =>
    fetch('/error', {method: 'POST', body: JSON.stringify(message)});
</script>`;

try {
  await runPage({
    html: inWorker ? workerPage : scriptPage('/page.js'),
    files: {
      '/page.js': await bundlePage(fileURLToPath(new URL('chromium_page.ts', import.meta.url))),
      ...(jax && {'/start.safetensors': new URL(`file://${jax.startPoint}`)}),
      '/': new URL('../../node_modules/@tensorflow/tfjs-backend-wasm/dist/', import.meta.url),
    },
    query: new URLSearchParams({options: json}).toString(),
    ...{isolated: true, timeout: TIMEOUT},
    async onProgress(message) {
      reply(message as Reply);
      const line = await requests.next();
      return line.done ? null : (JSON.parse(line.value) as Request);
    },
  });
} catch (error) {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  reply({kind: 'absent', needs: 'chromium on the path, or in CHROMIUM'});
}

function reply(message: Reply): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}
