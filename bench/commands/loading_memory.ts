/**
 * How much memory `loadLlama` and `saveLlama` take at their highest, beside that of the model itself.
 *
 *   npm run bench -- loading_memory                      # bfloat16; cpu, wasm, and tensorflow if it is there
 *   npm run bench -- loading_memory --folder FOLDER      # a checkpoint of your own; default: made at random in SmolLM2-135M's shape
 *
 * Each backend is a process of its own.
 */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import {loadBackend, type BackendName} from '../../tools/load_backend';
import {loadLlama, saveLlama} from '../../src/llama';
import {smolLM2, writeRandomCheckpoint} from '../../tools/random_checkpoint';
import {runApart} from '../harness/run_apart';

const MB = 2 ** 20;

const {values} = parseArgs({
  options: {folder: {type: 'string'}, backend: {type: 'string'}, target: {type: 'string'}},
});
if (values.backend === undefined) await measureAll(values.folder);
else await measure(values.folder!, values.target!, values.backend as BackendName);

async function measureAll(given?: string): Promise<void> {
  const temporary = mkdtempSync(join(tmpdir(), 'owlore-loading-'));
  try {
    const folder = given ?? join(temporary, 'source');
    if (given === undefined) writeRandomCheckpoint(folder, smolLM2);
    for (const backend of ['cpu', 'wasm', 'tensorflow'] satisfies BackendName[]) {
      const target = join(temporary, backend);
      runApart(import.meta.url, {folder, target, backend});
      rmSync(target, {recursive: true, force: true});
    }
  } finally {
    rmSync(temporary, {recursive: true});
  }
}

async function measure(folder: string, target: string, backend: BackendName): Promise<void> {
  if (!(await loadBackend(backend))) {
    console.log(`${backend}: not there`);
    return;
  }
  await tf.setBackend(backend);
  const before = {tensors: tf.memory().numBytes, resident: process.memoryUsage().rss};
  let tensors = 0;
  const look = (): void => {
    tensors = Math.max(tensors, tf.memory().numBytes - before.tensors);
  };
  let start = performance.now();
  const {model} = await loadLlama(folder, {onProgress: look});
  look();
  const loading = performance.now() - start;
  // the highest since the process began
  const afterLoading = process.resourceUsage().maxRSS * 1024 - before.resident;
  const size = 4 * model.countParams();

  start = performance.now();
  await saveLlama(model, target, {dtype: 'BF16'});
  const saving = performance.now() - start;
  const afterSaving = process.resourceUsage().maxRSS * 1024 - before.resident;
  const times = (bytes: number): string =>
    `${(bytes / MB).toFixed(0)} MB (${(bytes / size).toFixed(2)} times the model)`;
  console.log(
    `${backend}: model ${(size / MB).toFixed(0)} MB; loaded in ${(loading / 1000).toFixed(1)} s, ` +
      `highest: tensors ${times(tensors)}, process ${times(afterLoading)}; ` +
      `saved as BF16 in ${(saving / 1000).toFixed(1)} s, highest by then: process ${times(afterSaving)}`,
  );
}
