/**
 * What the optimizer takes of the time of a real model's steps, on wasm and tensorflow with this library's kernels:
 *
 *   npm run bench -- performance --only smollm2-optimizer --model <folder of SmolLM2-135M-Instruct>
 *
 * OwLore with 3 of 30 blocks on, for which the goals were set, and with 5, the default; at rank 128, the embedding in full; batches of
 * 4 × 128 tokens. Each period has blocks that were off, so that its first step makes bases of all their matrices, as it does in most
 * periods of a training.
 */
import {existsSync} from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import {LayerSamplingCallback, OwLoreOptimizer} from '../../src';
import {loadLlama, sparseCrossEntropy} from '../../src/llama';
import {resolveBlocks} from '../../src/model/blocks';
import {howToGet, loadBackend} from '../../tools/load_backend';
import {median} from '../harness/statistics';
import type {Figure, Goal} from '../results/figure';
import type {GroupResult, MeasureGroup} from './group';
import {OptimizerClock, type StepTime} from './optimizer_clock';

/** Steps of a period in a training. */
/** The paper's. */
const interval = 50;

/** Steps of a period here: the first, and one that stands for all others. */
const STEPS = 2;

/** Periods that do not count. On tensorflow kernels become graphs after 16 runs with the same shapes. */
const warmUpPeriods = {tensorflow: 9, wasm: 1};

/** What is trained on batches of which shape. */
interface PeriodTraining {
  /** The model's. */
  folder: string;
  rank: number;
  batch: number;
  length: number;
}

/** Numbers of blocks that are on, with the goals for the optimizer's part. */
const settings: ReadonlyArray<{on: number; goals?: Record<'period' | 'first', Goal>}> = [
  {on: 3, goals: {period: {atMost: 0.05}, first: {atMost: 0.15}}},
  {on: 5},
];

export const measure: MeasureGroup = async ({tiny, rounds = 3, model: folder}) => {
  if (folder === undefined || !existsSync(folder)) {
    throw new Error('give --model, the folder of SmolLM2-135M-Instruct');
  }
  const training = {
    folder,
    ...(tiny ? {rank: 16, batch: 1, length: 16} : {rank: 128, batch: 4, length: 128}),
  };
  const result: Required<GroupResult> = {figures: [], measured: {}, skipped: []};
  for (const backend of ['tensorflow', 'wasm'] as const) {
    if (!(await loadBackend(backend))) {
      result.skipped.push(`${backend}: needs ${howToGet[backend]}`);
      continue;
    }
    await tf.setBackend(backend);
    const backendTimes: Record<string, Record<'first' | 'others', StepTime>> = {};
    for (const {on, goals} of settings) {
      const times = await measurePeriods(training, on, rounds, warmUpPeriods[backend]);
      backendTimes[`${on} of 30 blocks`] = times;
      const {first, others} = times;
      const periodTime = (part: keyof StepTime): number =>
        first[part] + (interval - 1) * others[part];
      const share = (of: string, value: number, goal?: Goal): Figure => ({
        name: `Optimizer on ${backend}, SmolLM2, ${on} of 30 blocks on: its part of ${of}`,
        ...{value, unit: 'share', ...(goal && {goal})},
      });
      result.figures.push(
        share(
          `a period of ${interval} steps`,
          periodTime('optimizer') / periodTime('step'),
          goals?.period,
        ),
        share('the step that makes all bases anew', first.optimizer / first.step, goals?.first),
      );
    }
    Object.assign(result.measured, {[backend]: {milliseconds: backendTimes}});
  }
  return result;
};

/** Medians of the first steps of periods, and of their others. */
async function measurePeriods(
  {folder, rank, batch, length}: PeriodTraining,
  on: number,
  rounds: number,
  warmUp: number,
): Promise<Record<'first' | 'others', StepTime>> {
  const {model} = await loadLlama(folder, {headInLoss: true});
  const optimizer = new OwLoreOptimizer({learningRate: 1e-5, rank});
  model.compile({optimizer, loss: sparseCrossEntropy});
  const blocks = resolveBlocks(model).map(({name}) => name);
  const callback = new LayerSamplingCallback({
    blockHistory: {
      ...{blocks, interval: STEPS},
      periods: Array.from({length: warmUp + rounds}, (_, period) =>
        blocks.filter((_, i) => (i - period) % (blocks.length / on) === 0),
      ),
    },
  });
  callback.attach(model);
  const tokens = tf.randomUniform([batch, length + 1], 0, 2 ** 15, 'int32', 1);
  const ids = tf.slice(tokens, [0, 0], [batch, length]);
  const labels = tf.expandDims(tf.slice(tokens, [0, 1], [batch, length]), 2);
  await optimizer.ready();
  const clock = new OptimizerClock();
  const times: Record<'first' | 'others', StepTime[]> = {first: [], others: []};
  console.log(`${tf.getBackend()}, ${on} blocks: ${warmUp * STEPS} steps that do not count`);
  for (let step = 0; step < (warmUp + rounds) * STEPS; step++) {
    if (step === warmUp * STEPS) console.log(`${tf.getBackend()}, ${on} blocks: measuring`);
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
