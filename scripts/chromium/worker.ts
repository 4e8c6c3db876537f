/** Trains in the library's worker in chromium: with the bits of Node on wasm, and with the same where the worker was killed and went on. */
import * as tf from '@tensorflow/tfjs-core';
import {fileURLToPath} from 'node:url';
import {isDeepStrictEqual} from 'node:util';
import {setFlagsFromString} from 'node:v8';
import {loadBackend} from '../../tools/node_backend';
import {bundlePage, runPage, scriptPage} from '../../tools/run_page';
import {options, start} from '../../test/worker/worker_in_node';
import type {WorkerReport} from './worker_page';

/** Whether all went well. */
export async function runWorker(): Promise<boolean> {
  const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
  const page = await bundlePage(path('worker_page.ts'));
  const worker = await bundlePage(path('../../src/worker/training_worker.ts'));
  const {model: _model, ...sent} = {...options, sampleEvery: 0, backend: 'wasm', threads: 1};
  const reports = await runPage<WorkerReport[]>({
    html: scriptPage('/page.js'),
    files: {
      ...{'/page.js': page, '/worker.js': worker, '/options.json': JSON.stringify(sent)},
      '/model/': new URL('../../demo/model/', import.meta.url),
      '/': new URL('../../node_modules/@tensorflow/tfjs-backend-wasm/dist/', import.meta.url),
    },
  });
  // which chromium has and Node 20 has not: it rounds otherwise
  setFlagsFromString('--experimental-wasm-relaxed-simd');
  await loadBackend('wasm');
  await tf.setBackend('wasm');
  const {training, said} = start({sampleEvery: 0});
  await training.finished;
  training.dispose();
  const expected = said.flatMap(({event, data}) => (event === 'step' ? [data.loss] : []));
  const [whole] = reports;
  return reports
    .map(({kill, from, losses, digest, second}) => {
      const isSame = isDeepStrictEqual(losses, expected) && digest === whole!.digest;
      const isRight = isSame && (kill === null || (from > 0 && second === 'in-use'));
      const what = kill === null ? 'not killed' : `killed in a ${kill}, from step ${from}`;
      const bits = isSame ? 'the bits of Node' : `other losses: ${losses.join()} for ${expected.join()}`; // prettier-ignore
      console.log(`${isRight ? 'ok' : 'FAILED'}: a training in a worker, ${what}: ${bits}`);
      return isRight;
    })
    .every(Boolean);
}
