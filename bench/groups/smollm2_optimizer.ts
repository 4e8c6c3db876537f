/**
 * What the optimizer takes of the time of a real model's steps, on wasm and tensorflow with this library's kernels:
 *
 *   npm run bench -- --only smollm2-optimizer --model <folder of SmolLM2-135M-Instruct>
 *
 * OwLore with its defaults: 5 of 30 blocks on at rank 128, and the embedding in full; batches of 4 × 128 tokens. Each period has
 * blocks that were off, so that its first step makes bases of all their matrices, as it does in most periods of a training.
 */
import {existsSync} from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import {LayerSamplingCallback, OwLoreOptimizer} from '../../src';
import {layerSamplingDefaults} from '../../src/layer_sampling_options';
import {loadLlama, sparseCrossEntropy} from '../../src/llama';
import {resolveBlocks} from '../../src/model/blocks';
import {howToGet, loadBackend} from '../../tools/load_backend';
import {median} from '../harness/statistics';
import type {Figure} from '../results/figure';
import type {GroupResult, MeasureGroup} from './group';
import {OptimizerClock, type StepTime} from './optimizer_clock';

/** Steps of a period in a training. */
const {interval} = layerSamplingDefaults;

/** Steps of a period here: the first, and one that stands for all others. */
const STEPS = 2;

/** Periods that do not count. On tensorflow kernels become graphs after 16 runs with the same shapes. */
const warmUpPeriods = {tensorflow: 9, wasm: 1};

const [BATCH, LENGTH] = [4, 128];

export const measure: MeasureGroup = async ({rounds = 3, model: folder}) => {
  if (folder === undefined || !existsSync(folder)) {
    throw new Error('give --model, the folder of SmolLM2-135M-Instruct');
  }
  const result: Required<GroupResult> = {figures: [], measured: {}, skipped: []};
  for (const backend of ['tensorflow', 'wasm'] as const) {
    if (!(await loadBackend(backend))) {
      result.skipped.push(`${backend}: needs ${howToGet[backend]}`);
      continue;
    }
    await tf.setBackend(backend);
    const {first, others} = await measurePeriods(folder, rounds, warmUpPeriods[backend]);
    const ofPeriod = (part: keyof StepTime): number => first[part] + (interval - 1) * others[part];
    const share = (name: string, value: number, atMost: number): Figure => ({
      ...{name, value, unit: 'share', goal: {atMost}},
    });
    result.figures.push(
      share(
        `Optimizer on ${backend}, SmolLM2, 5 of 30 blocks on: its part of a period of ${interval} steps`,
        ofPeriod('optimizer') / ofPeriod('step'),
        0.05,
      ),
      share('the same, of the step that makes all bases anew', first.optimizer / first.step, 0.15),
    );
    Object.assign(result.measured, {[backend]: {milliseconds: {first, others}}});
  }
  return result;
};

/** Medians of the first steps of periods, and of their others. */
async function measurePeriods(
  folder: string,
  rounds: number,
  warmUp: number,
): Promise<Record<'first' | 'others', StepTime>> {
  const {model} = await loadLlama(folder, {headInLoss: true});
  const optimizer = new OwLoreOptimizer({learningRate: 1e-5, rank: 128});
  model.compile({optimizer, loss: sparseCrossEntropy});
  const blocks = resolveBlocks(model).map(({name}) => name);
  const callback = new LayerSamplingCallback({
    schedule: {
      ...{blocks, interval: STEPS},
      periods: Array.from({length: warmUp + rounds}, (_, period) =>
        blocks.filter((_, i) => i % 6 === period % 6),
      ),
    },
  });
  callback.attach(model);
  const tokens = tf.randomUniform([BATCH, LENGTH + 1], 0, 2 ** 15, 'int32', 1);
  const ids = tf.slice(tokens, [0, 0], [BATCH, LENGTH]);
  const labels = tf.expandDims(tf.slice(tokens, [0, 1], [BATCH, LENGTH]), 2);
  await optimizer.ready();
  const clock = new OptimizerClock();
  const times: Record<'first' | 'others', StepTime[]> = {first: [], others: []};
  console.log(`${tf.getBackend()}: ${warmUp * STEPS} steps that do not count`);
  for (let step = 0; step < (warmUp + rounds) * STEPS; step++) {
    if (step === warmUp * STEPS) console.log(`${tf.getBackend()}: measuring`);
    callback.step();
    const time = await clock.time(() => model.trainOnBatch(ids, labels));
    if (step >= warmUp * STEPS) times[step % STEPS === 0 ? 'first' : 'others'].push(time);
  }
  clock.stop();
  callback.restore();
  optimizer.dispose();
  model.dispose();
  tf.dispose([tokens, ids, labels]);
  const medians = (all: StepTime[]): StepTime => ({
    step: median(all.map(({step}) => step)),
    optimizer: median(all.map((time) => time.optimizer)),
  });
  return {first: medians(times.first), others: medians(times.others)};
}
