import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {owlore, type OwLoreOptimizer} from '../../src/index';
import {startMemoryMeter} from '../../src/memory/meter';
import {createRandom} from '../../src/common/random';
import {seeded, type OrdinaryModel} from '../../tools/ordinary_models';
import {median} from './statistics';

/** What a step of a model takes with `tf.train.adam` and with this library's optimizer at its defaults. */
export interface StepTimes {
  /** Medians of all rounds. */
  milliseconds: {adam: number; ours: number};
  /** Medians over rounds of ours through Adam's: of the time that passes, and of that of the processor. */
  ratio: number;
  processorRatio: number;
  rounds: number;
  /** The most bytes of tensors that were alive at once in the first three steps. */
  peaks: {adam: number; ours: number};
}

/** A round has at least so many milliseconds of steps with Adam: short ones would be as long as the clock and the engine have it. */
const ROUND_MILLISECONDS = 25;
/**
 * Steps before the first round, but no longer than these milliseconds: V8 goes on to compile what it runs for some thousand steps of
 * a model of a few units, and from the 16th on tensorflow runs kernels as graphs.
 */
const WARM_UP = {steps: 2000, milliseconds: 3000};
/** A model is measured for so long, but for the least rounds. */
const MODEL_MILLISECONDS = 8_000;
const LEAST_ROUNDS = 7;
const MAX_ROUNDS = 151;

/**
 * Both train the same model on the same batch in this process, with the same kernels: those of this library, where they are
 * faster than tfjs's. They take turns, some steps each, and begin by turns.
 */
export async function measureStepTimes(ordinary: OrdinaryModel): Promise<StepTimes> {
  const {learningRate} = ordinary;
  const ours = owlore(learningRate);
  await ours.ready();
  const peaks = {
    adam: await peakOf(ordinary, tf.train.adam(learningRate)),
    ours: await peakOf(ordinary, ours),
  };
  const trainings = [
    new StepTraining(ordinary, tf.train.adam(learningRate)),
    new StepTraining(ordinary, owlore(learningRate)),
  ] as const;
  for (const training of trainings) await training.warmUp();
  const [first] = trainings;
  const steps = Math.max(1, Math.ceil(ROUND_MILLISECONDS / (await first.run(1)).elapsed));
  const times: [Milliseconds[], Milliseconds[]] = [[], []];
  const end = performance.now() + MODEL_MILLISECONDS;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    if (round >= LEAST_ROUNDS && performance.now() > end) break;
    for (const i of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      times[i].push(await trainings[i].run(steps));
    }
  }
  for (const training of trainings) training.dispose();
  const [adam, own] = times;
  const ratio = (which: keyof Milliseconds): number =>
    median(own.map((time, i) => time[which] / adam[i]![which]));
  return {
    milliseconds: {
      adam: median(adam.map(({elapsed}) => elapsed)),
      ours: median(own.map(({elapsed}) => elapsed)),
    },
    ratio: ratio('elapsed'),
    processorRatio: ratio('processor'),
    rounds: adam.length,
    peaks,
  };
}

/** What a step takes. */
interface Milliseconds {
  elapsed: number;
  /** Of all threads of the process. */
  processor: number;
}

async function peakOf(ordinary: OrdinaryModel, optimizer: tf.Optimizer): Promise<number> {
  const meter = startMemoryMeter();
  const training = new StepTraining(ordinary, optimizer);
  meter.reset();
  await training.run(3);
  const peak = meter.peak();
  training.dispose();
  meter.stop();
  return peak;
}

/** A model that is trained on one batch. */
class StepTraining {
  private readonly model: tfl.LayersModel;
  private readonly batch: [tf.Tensor, tf.Tensor];

  constructor(
    ordinary: OrdinaryModel,
    private readonly optimizer: tf.Optimizer | OwLoreOptimizer,
  ) {
    this.model = seeded(1, ordinary.build);
    this.model.compile({optimizer, loss: ordinary.loss});
    this.batch = ordinary.createData(ordinary.batchSize, createRandom(1));
  }

  async run(steps: number): Promise<Milliseconds> {
    const start = performance.now();
    const before = process.cpuUsage();
    for (let step = 0; step < steps; step++) await this.model.trainOnBatch(...this.batch);
    const {user, system} = process.cpuUsage(before);
    const elapsed = (performance.now() - start) / steps;
    return {elapsed, processor: (user + system) / 1000 / steps};
  }

  async warmUp(): Promise<void> {
    const end = performance.now() + WARM_UP.milliseconds;
    for (let step = 0; step < WARM_UP.steps && (step < 3 || performance.now() < end); step++) {
      await this.run(1);
    }
  }

  dispose(): void {
    this.model.dispose();
    this.optimizer.dispose();
    tf.dispose(this.batch);
  }
}
