/**
 * Time and bytes of checkpoints, beside those of writing and reading bytes alone.
 *
 *   npm run bench -- checkpoints                        # a model of random weights in the shape of SmolLM2-135M, on wasm
 *   npm run bench -- checkpoints --folder FOLDER        # a checkpoint of your own
 *   npm run bench -- checkpoints --backend tensorflow
 *   npm run bench -- checkpoints --at FOLDER            # the disk that is written to; default: that of temporary files
 *
 * Two of 30 blocks are on. Two steps are made before each checkpoint, a period of the callback, and it is read back in the same process, from the system's
 * cache. Each time is the median of three; processor time is that of all threads, which a busy machine changes less. With `--write` the figures go to `docs/checkpoints.md` and
 * `bench/results/checkpoints.json`.
 */
import {mkdtempSync, rmSync} from 'node:fs';
import {open} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import {LayerSamplingCallback, OwLoreOptimizer, resumeCheckpoint, saveCheckpoint} from '../../src';
import {loadLlama, sparseCrossEntropy} from '../../src/llama';
import {smolLM2, writeRandomCheckpoint} from '../../tools/random_checkpoint';
import {selectBackend} from '../../tools/select_backend';
import {median} from '../harness/statistics';
import {provenance, writeRecord} from '../results/store';
import {checkpointTables, type CheckpointTimes, type Times} from '../tables/checkpoint_tables';
import {printTables} from '../tables/document';
import {writeDocument} from '../tables/documents';

const {values: flags} = parseArgs({
  options: {
    backend: {type: 'string', default: 'wasm'},
    folder: {type: 'string'},
    at: {type: 'string', default: tmpdir()},
    write: {type: 'boolean', default: false},
  },
});
const REPEATS = 3;
const [BLOCKS_ON, STEPS, TOKENS] = [2, 2, 64];

/** Written and read at once. */
const MEGABYTE = new Uint8Array(2 ** 20).fill(1);

const before = provenance();
const backend = await selectBackend(flags.backend);
const work = mkdtempSync(join(flags.at, 'owlore-checkpoints-'));
try {
  const measured = await measure();
  const tables = checkpointTables({[backend]: {...before, measured}});
  printTables(tables);
  if (flags.write) {
    await writeRecord('checkpoints', backend, {...before, measured}, ['wasm', 'tensorflow']);
    await writeDocument('checkpoints.md');
  }
} finally {
  rmSync(work, {recursive: true});
}

async function measure(): Promise<CheckpointTimes> {
  const folder = flags.folder ?? join(work, 'model');
  if (flags.folder === undefined) writeRandomCheckpoint(folder, smolLM2);
  const {model, config} = await loadLlama(folder);
  const optimizer = new OwLoreOptimizer({learningRate: 1e-4});
  const callback = new LayerSamplingCallback({gamma: BLOCKS_ON, interval: STEPS});
  model.compile({optimizer, loss: sparseCrossEntropy});
  const parts = {model, optimizer, callback};

  async function train(): Promise<void> {
    callback.attach(model);
    for (let i = 0; i < STEPS; i++) {
      callback.step();
      const xs = tf.randomUniform([1, TOKENS], 0, config.vocabSize, 'int32', i + 1);
      const ys = tf.expandDims(xs, 2);
      await model.trainOnBatch(xs, ys);
      tf.dispose([xs, ys]);
    }
    callback.restore();
  }

  await train();
  const bytes = {first: 0, next: 0};
  let target = '';
  const first = await medianTimes(async (i) => {
    target = join(work, `first${i}`);
    bytes.first = (await saveCheckpoint(target, parts)).bytes;
  });
  const next = await medianTimes(
    async () => {
      bytes.next = (await saveCheckpoint(target, parts, {keep: 2})).bytes;
    },
    () => train(),
  );
  const resume = await medianTimes(async () => {
    await resumeCheckpoint(target, parts);
  });
  const write = await medianTimes((i) => writeBytes(join(work, `${i}.bytes`), bytes.first));
  const read = await medianTimes((i) => readBytes(join(work, `${i}.bytes`)));
  const modelBytes = 4 * model.countParams();
  model.dispose();
  optimizer.dispose();
  return {modelBytes, bytes, first, next, resume, write, read};
}

/** The medians of the milliseconds that `body` takes, each time after `prepare`. */
async function medianTimes(
  body: (i: number) => Promise<void>,
  prepare: () => Promise<void> = async () => undefined,
): Promise<Times> {
  const walls: number[] = [];
  const processors: number[] = [];
  for (let i = 0; i < REPEATS; i++) {
    await prepare();
    const [start, used] = [performance.now(), process.cpuUsage()];
    await body(i);
    const {user, system} = process.cpuUsage(used);
    walls.push(performance.now() - start);
    processors.push((user + system) / 1000);
  }
  const times = {wall: median(walls), processor: median(processors)};
  console.log(times);
  return times;
}

/** Writes so many bytes to the disk. */
async function writeBytes(path: string, bytes: number): Promise<void> {
  const file = await open(path, 'w');
  for (let left = bytes; left > 0; left -= MEGABYTE.length) {
    await file.write(MEGABYTE, 0, Math.min(left, MEGABYTE.length));
  }
  await file.sync();
  await file.close();
}

async function readBytes(path: string): Promise<void> {
  const file = await open(path);
  const buffer = new Uint8Array(MEGABYTE.length);
  while ((await file.read(buffer, 0, buffer.length)).bytesRead > 0);
  await file.close();
}
