import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {LayerSamplingCallback, OwLoreOptimizer, type BasisFunction} from '../../src';
import type {LearningRate, OwLoreOptions} from '../../src';
import {exactBasis} from '../../src/owlore/optimizer/state/basis';
import {Comparison, type Tolerance} from './close';
import {toTensor, type FixtureTensor} from './fixtures';
import type {KernelSet} from './kernel_sets';

/** A whole training run of the fixtures, whichever model it trains, against a float64 loop. */
export interface TrainingCase {
  method: 'full' | 'lisa' | 'galore' | 'owlore' | 'lora';
  steps: number;
  /** Examples in a batch. */
  batch: number;
  betas: [number, number];
  eps: number;
  weightDecay: number;
  clipNorm: number | null;
  accumulate: number;
  rank: number | null;
  gap: number | null;
  scale: number;
  moments: 'keep' | 'rotate' | 'reset' | null;
  stateOnFreeze: 'kept' | 'dropped' | null;
  period: number | null;
  blocksOn: number[][] | null;
  refreshes?: Record<string, Array<{step: number}>> | null;
  losses: number[];
  tolerance: Record<'losses' | 'weights' | 'lossesOwnBasis' | 'weightsOwnBasis', Tolerance>;
}

/** Where the bases of a run come from. */
export type Bases = 'recorded' | 'own exact';

/** The exact basis, each vector with the sign of the recorded one: singular vectors have no sign. */
export function alignedBasis(
  recorded: tf.Tensor2D,
  ...given: Parameters<BasisFunction>
): tf.Tensor2D {
  const own = exactBasis(...given);
  return tf.mul(own, tf.sign(tf.sum(tf.mul(own, recorded), 0)));
}

/** The bases `basis.<weight>.<k>` of a run's file, and when they were asked for. */
export class RunBases {
  private readonly refreshes: Record<string, Array<{step: number}>> = {};

  /** @param names The file's names of weights, by the names of their variables. */
  constructor(
    private readonly kind: Bases,
    private readonly recorded: ReadonlyMap<string, FixtureTensor>,
    private readonly names: ReadonlyMap<string, string>,
    private readonly losses: StepLosses,
  ) {}

  readonly basis: BasisFunction = (gradient, rank, previous, variable) => {
    const weight = this.names.get(variable)!;
    const list = (this.refreshes[weight] ??= []);
    const tensor = toTensor(this.recorded.get(`basis.${weight}.${list.length}`)!) as tf.Tensor2D;
    list.push({step: this.losses.step});
    if (this.kind === 'recorded') return tensor;
    return alignedBasis(tensor, gradient, rank, previous, variable);
  };

  /** Every weight had its bases refreshed in the steps of the fixture. */
  expectRefreshes({refreshes}: TrainingCase): void {
    const steps = Object.entries(refreshes ?? {}).map(
      ([weight, list]) => [weight, list.map(({step}) => ({step}))] as const,
    );
    expect(this.refreshes).to.deep.equal(Object.fromEntries(steps));
  }
}

/** What a run's optimizer has from elsewhere than the fixture's common part. */
interface RunOptions {
  learningRate: LearningRate;
  /** What GaLore projects. */
  galore: RegExp;
  basis: BasisFunction;
  kernels: KernelSet;
}

/** The optimizer of a run; the caller disposes of it. */
export function optimizerOf(
  fixture: TrainingCase,
  {learningRate, galore, basis, kernels}: RunOptions,
): OwLoreOptimizer {
  const projection: OwLoreOptions =
    fixture.rank === null
      ? {project: false}
      : {
          project: fixture.method === 'galore' ? galore : 'auto',
          rank: fixture.rank,
          scale: fixture.scale,
          refreshInterval: fixture.gap!,
          moments: fixture.moments!,
          side: 'paper',
          basis,
        };
  return new OwLoreOptimizer({
    learningRate,
    beta1: fixture.betas[0],
    beta2: fixture.betas[1],
    epsilon: fixture.eps,
    weightDecay: fixture.weightDecay,
    clipNorm: fixture.clipNorm,
    accumulate: fixture.accumulate,
    state: fixture.stateOnFreeze === 'kept' ? 'keep' : 'reset',
    kernels,
    ...projection,
  });
}

/** Turns the run's blocks on and off; none where all are on. */
export function samplingOf(
  {blocksOn, period}: TrainingCase,
  blocks: readonly string[],
): LayerSamplingCallback[] {
  if (!blocksOn) return [];
  const periods = blocksOn.map((on) => on.map((i) => blocks[i]!));
  const blockHistory = {blocks: [...blocks], interval: period!, periods};
  return [new LayerSamplingCallback({blockHistory})];
}

/** Takes down the loss of every batch. */
export class StepLosses extends tfl.Callback {
  private readonly batchLosses: number[] = [];

  /** @param accumulate Batches in a step. */
  constructor(private readonly accumulate: number) {
    super();
  }

  override async onBatchEnd(_: number, logs?: tfl.Logs): Promise<void> {
    // In a class of callbacks a loss is a scalar, whatever the type says.
    const loss = logs!.loss as unknown as tf.Scalar;
    this.batchLosses.push((await loss.data())[0]!);
  }

  /** The step that is being done, from 1. */
  get step(): number {
    return 1 + Math.floor(this.batchLosses.length / this.accumulate);
  }

  /** The mean loss of each step's batches. */
  private get means(): number[] {
    const sums: number[] = [];
    this.batchLosses.forEach((loss, i) => {
      const step = Math.floor(i / this.accumulate);
      sums[step] = (sums[step] ?? 0) + loss / this.accumulate;
    });
    return sums;
  }

  expectThoseOf({losses, tolerance}: TrainingCase, bases: Bases): void {
    const own = bases === 'own exact';
    const comparison = new Comparison('losses', tolerance[own ? 'lossesOwnBasis' : 'losses']);
    comparison.add('of all steps', this.means, losses);
    comparison.finish();
  }
}

/** Compares the weights of a run. */
export function weightComparison({tolerance}: TrainingCase, bases: Bases): Comparison {
  return new Comparison(
    'weights',
    tolerance[bases === 'own exact' ? 'weightsOwnBasis' : 'weights'],
  );
}
