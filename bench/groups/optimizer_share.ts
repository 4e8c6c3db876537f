/**
 * What the optimizer costs beside forward and backward pass, and how near a basis comes to the exact one, on wasm and
 * tensorflow with this library's kernels:
 *
 *   npm run bench -- performance --only optimizer
 *
 * The steps are those of the reference workload, without checkpoints, which would make a step longer and the optimizer's part
 * of it smaller; the optimizer has the options that it has by default, so looks for gradients that are not finite, but for its
 * rank of 64, a quarter of the width.
 */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers';
import {howToGet, loadBackend} from '../../tools/load_backend';
import {OwLoreOptimizer, type OwLoreOptions} from '../../src';
import {installKernels as installForTensorflow} from '../../src/kernels/tensorflow';
import {installKernels as installForWasm} from '../../src/kernels/wasm';
import {owloreDefaults} from '../../src/owlore/optimizer/options';
import {OwLoreRefresh} from '../../src/kernels/kernel_names';
import {runKernel} from '../../src/kernels/run_kernel';
import {
  COLD_START,
  exactBasis,
  randomizedBasis,
  randomStart,
  WARM_START,
} from '../../src/owlore/optimizer/state/basis';
import {withRecomputedLayers} from '../../src/tape/recompute_layers';
import {streamVariableGrads} from '../../src/tape/tfjs_gradients';
import {basisMatrices, capturedPart, type BasisMatrix, type BasisSize} from './basis_matrices';
import type {Figure, Goal} from '../results/figure';
import type {GroupResult, MeasureGroup} from './group';
import {OptimizerClock, type StepTime} from './optimizer_clock';
import {median} from '../harness/statistics';
import {owloreOptions, shapeOf, trainedSets, Training, type Shape} from '../harness/workload';

const installers = {tensorflow: installForTensorflow, wasm: installForWasm};
type Backend = keyof typeof installers;

/** Steps between two refreshes by default: what a refresh is shared out over. */
const {refreshInterval} = owloreDefaults;

/** Before what counts: after 16 runs with the same shapes the kernels on tensorflow become graphs. */
const WARM_UP_STEPS = 18;

/** All of the optimizer's defaults but the rank. */
function optionsOf(shape: Shape): OwLoreOptions {
  return {...owloreOptions(shape), nonFinite: 'throw'};
}

/** For three rounds and the longest step, two minutes a backend. */
export const measure: MeasureGroup = async ({tiny, rounds = 3}) => {
  const shape = shapeOf({tiny});
  const size = tiny ? {width: 64, rank: 8} : {width: 1024, rank: 128};
  const result: Required<GroupResult> = {figures: [], measured: {}, skipped: []};
  let matrices: BasisMatrix[] | undefined;
  for (const backend of Object.keys(installers) as Backend[]) {
    if (!(await loadBackend(backend))) {
      result.skipped.push(`${backend}: needs ${howToGet[backend]}`);
      continue;
    }
    await tf.setBackend(backend);
    await installers[backend]();
    const steps = await measureSteps(shape, rounds);
    const longest = await longestStep(shape);
    matrices ??= basisMatrices(size);
    const bases = measureBases(matrices, size, rounds);
    result.figures.push(...figures(backend, size, steps, longest, bases));
    Object.assign(result.measured, {[backend]: {milliseconds: steps, longest, bases}});
  }
  return result;
};

interface StepMedians {
  step: number;
  optimizer: number;
  /** What a step takes longer than the next one, of which the gradients are thrown away. */
  longer: number;
  /** What a step takes longer in which all matrices get their first basis, or another one. */
  firstBases: number;
  newBases: number;
}

/** Forward and backward pass as an optimizer does them, and nothing else. */
class ThrowAway extends OwLoreOptimizer {
  override minimize(
    f: () => tf.Scalar,
    _returnCost?: boolean,
    variables?: tf.Variable[],
  ): tf.Scalar {
    return tf.tidy(() =>
      streamVariableGrads(
        () => withRecomputedLayers('none', f),
        variables,
        (_variable, gradient) => gradient.dispose(),
      ),
    );
  }
}

/** Steps with two of eight blocks on, and embedding and head. */
async function measureSteps(shape: Shape, rounds: number): Promise<StepMedians> {
  const interval = 3;
  const training = new Training({
    shape,
    trained: trainedSets.lisa,
    variant: 'none',
    optimizer: {...optionsOf(shape), refreshInterval: interval},
  });
  const {model} = training;
  const {optimizer} = model;
  const throwAway = new ThrowAway();
  const clock = new OptimizerClock();
  const ordinary: Array<StepTime & {alone: number}> = [];
  const refreshes: {first: number[]; next: number[]} = {first: [], next: []};
  for (let round = -WARM_UP_STEPS / (2 * interval); round < rounds; round++) {
    optimizer.dispose();
    for (let step = 0; step < 2 * interval; step++) {
      model.optimizer = optimizer;
      const time = await clock.time(() => training.step());
      model.optimizer = throwAway;
      const without = await clock.time(() => training.step());
      if (round < 0) continue;
      if (step === 0) refreshes.first.push(time.optimizer);
      else if (step === interval) refreshes.next.push(time.optimizer);
      else ordinary.push({...time, alone: without.step});
    }
  }
  clock.stop();
  model.optimizer = optimizer;
  training.dispose();
  const own = median(ordinary.map((time) => time.optimizer));
  return {
    step: median(ordinary.map((time) => time.step)),
    optimizer: own,
    longer: median(ordinary.map((time) => time.step - time.alone)),
    firstBases: median(refreshes.first) - own,
    newBases: median(refreshes.next) - own,
  };
}

interface LongestStep {
  interval: number;
  median: number;
  /** The longest that the optimizer took, and forward and backward pass by their median: what else has delayed a step is left out. */
  longest: number;
}

/** A refresh of all matrices of all eight blocks. */
async function longestStep(shape: Shape): Promise<LongestStep> {
  const interval = 14;
  const training = new Training({
    shape,
    trained: trainedSets.full,
    variant: 'none',
    optimizer: {...optionsOf(shape), refreshInterval: interval},
  });
  const clock = new OptimizerClock();
  await training.step();
  const times: StepTime[] = [];
  for (let step = 0; step < interval; step++) times.push(await clock.time(() => training.step()));
  clock.stop();
  training.dispose();
  const others = median(times.map((time) => time.step - time.optimizer));
  return {
    interval,
    median: median(times.map((time) => time.step)),
    longest: others + Math.max(...times.map((time) => time.optimizer)),
  };
}

/** A basis as the optimizer makes it: by its kernel, which makes the projected gradient as well, where the backend has it. */
function refreshed(matrix: tf.Tensor2D, rank: number, previous: tf.Tensor2D | null): tf.Tensor2D {
  const random0 = randomStart(matrix.shape[0], rank);
  const inputs = {gradient0: matrix, random0, previous0: previous};
  const multiplications = previous ? WARM_START : COLD_START;
  const attrs = {refreshes: [{side: 'left', multiplications}], scalesDirections: false};
  const [basis] = runKernel(OwLoreRefresh, inputs, attrs) ?? [];
  return (basis as tf.Tensor2D | undefined) ?? randomizedBasis(matrix, rank, previous, 'matrix');
}

interface BasisMeasurement {
  title: string;
  /** Of the first matrix alone on backends that take long. */
  exact?: number;
  cold: number;
  warm: number;
  /** Parts of what the exact basis captures. */
  captured: {cold: number; warm: number};
}

/**
 * Runs after an exact SVD that do not count. It takes one thread and more than half a second, and Linux spreads TensorFlow's threads
 * over the processors again only some 300 ms later. In a training they are spread: a refresh stands between passes that take all.
 */
const SETTLING_RUNS = 20;

function measureBases(
  matrices: readonly BasisMatrix[],
  {width, rank}: BasisSize,
  rounds: number,
): BasisMeasurement[] {
  return matrices.map(({title, values, earlier, exactPart}, i) =>
    tf.tidy(() => {
      const matrix = tf.tensor2d(values, [width, width]);
      const previous = randomizedBasis(tf.tensor2d(earlier, [width, width]), rank, null, title);
      const makers = {
        cold: () => refreshed(matrix, rank, null),
        warm: () => refreshed(matrix, rank, previous),
        exact: () => exactBasis(matrix, rank, null, title),
      };
      const time = (make: () => tf.Tensor2D): number => {
        const start = performance.now();
        tf.dispose(tf.tidy(make));
        return performance.now() - start;
      };
      const times = {cold: [] as number[], warm: [] as number[], exact: [] as number[]};
      // Twice as many as of steps, which take longer. The first warms up.
      for (let round = 0; round <= 2 * rounds; round++) {
        const cold = time(makers.cold);
        const warm = time(makers.warm);
        if (round === 0) continue;
        times.cold.push(cold);
        times.warm.push(warm);
        const isSlow = tf.getBackend() !== 'tensorflow';
        if (i === 0 && (!isSlow || round === 1)) {
          times.exact.push(time(makers.exact));
          for (let run = 0; run < SETTLING_RUNS; run++) time(makers.warm);
        }
      }
      const captured = (make: () => tf.Tensor2D): number =>
        capturedPart(make(), matrix) / exactPart;
      return {
        title,
        ...(i === 0 && {exact: median(times.exact)}),
        cold: median(times.cold),
        warm: median(times.warm),
        captured: {cold: captured(makers.cold), warm: captured(makers.warm)},
      };
    }),
  );
}

function figures(
  backend: Backend,
  {width, rank}: BasisSize,
  steps: StepMedians,
  longest: LongestStep,
  bases: readonly BasisMeasurement[],
): Figure[] {
  const [first] = bases as [BasisMeasurement];
  const exact = backend === 'tensorflow' ? "TensorFlow's exact SVD" : 'the exact SVD of ml-matrix';
  const refresh = `refresh on ${backend}, ${width}×${width}, rank ${rank}`;
  const figure = (unit: Figure['unit'], name: string, value: number, goal?: Goal): Figure => ({
    name,
    value,
    unit,
    ...(goal && {goal}),
  });
  const amortised = (milliseconds: number): number => milliseconds / (refreshInterval * steps.step);
  return [
    figure(
      'share',
      `Optimizer on ${backend}: its part of a step, 2 of 8 blocks on`,
      steps.optimizer / steps.step,
      {atMost: 0.05},
    ),
    figure(
      'share',
      `Refresh on ${backend}: first bases, over the ${refreshInterval} steps they are for`,
      amortised(steps.firstBases),
      {atMost: 0.02},
    ),
    figure('share', 'the same, bases after those', amortised(steps.newBases), {atMost: 0.02}),
    figure(
      'times',
      `Longest step on ${backend}, 8 blocks refreshed in one: time, against the median`,
      longest.longest / longest.median,
    ),
    figure('times', `Cold ${refresh}: speed, against ${exact}`, first.exact! / first.cold, {
      atLeast: 15,
    }),
    figure('times', 'the same, warm', first.exact! / first.warm, {atLeast: 15}),
    ...bases.map(({title, captured}, i) =>
      figure(
        'share',
        `Energy after a ${refresh}, cold or warm, of the exact one's: ${title}`,
        Math.min(captured.cold, captured.warm),
        // A flat spectrum has no leading part to be found.
        i < bases.length - 1 ? {atLeast: 0.99} : undefined,
      ),
    ),
  ];
}
