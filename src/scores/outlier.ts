/** The outlier score of a block, Eq. 2 of the OwLore paper. */

import type * as tfl from '@tensorflow/tfjs-layers';
import {resolveBlocks, type BlockSelector, type ResolvedBlock} from '../model/blocks';
import {checkChoice, checkKnown, checkNumber, definedIn} from '../options';
import {runCalibration, type CalibrationBatches} from './calibration';
import {InputNorms} from './input_norms';
import {magnitudesOf, type Magnitudes} from './magnitudes';
import {sourceOf} from '../packed/packed_weight';
import type {BlockScores, ScoreDefinition} from './scores';

const owner = 'outlierScores';
export const outlierGranularities = ['block', 'layer'] as const;

export type OutlierGranularity = (typeof outlierGranularities)[number];

/** With `tau: 'auto'` every block must have this many outliers: its score is then good to about 14 %. */
export const autoOutliers = 50;

/** Options of `outlierScores`. */
export interface OutlierScoreOptions {
  /**
   * τ, how many times the mean an entry must exceed. In the paper 9–13 work best, for models of billions of weights. The
   * default, `'auto'`, takes the largest of 13, 11, 9, 7, 6, 5, 4, 3, 2 that leaves every block at least 50 outliers, or else 2.
   */
  tau?: number | 'auto';
  /**
   * `'block'` (default, the paper): entries are compared with the mean over all linear weights of the
   * block; `'layer'`: with the mean of their own weight.
   */
  granularity?: OutlierGranularity;
  /** Which parts of the model are blocks. Default `'auto'`; see `findBlocks`. */
  blocks?: BlockSelector;
}

/** The defaults. */
export const outlierDefaults = {
  tau: 'auto',
  granularity: 'block',
  blocks: 'auto',
} as const satisfies Required<OutlierScoreOptions>;

/** The paper's. */
export const paperTau = 13;

/** What `tau: 'auto'` chooses from. */
export const autoTaus: readonly number[] = [paperTau, 11, 9, 7, 6, 5, 4, 3, 2];

/** The result of `outlierScores`: `scores` are D = counts / sizes. */
export interface OutlierScores extends BlockScores {
  kind: 'outlier';
  /** The τ in use; with `'auto'` the chosen one. */
  tau: number;
  granularity: OutlierGranularity;
  /** Number of outliers of each block. */
  counts: number[];
  /** Number of entries in the linear weights of each block. */
  sizes: number[];
}

/**
 * Outlier scores (OwLore, Li et al. 2024, Eq. 2): D = count(A > τ·mean(A)) / numel(A) with A_ij = ‖X_j‖₂·|W_ij|,
 * over all linear weights W of a block together; X_j is the input feature that W_ij multiplies, over all rows of
 * the calibration data. For a convolution a feature is a channel at a place in the patch.
 *
 * It finds the weights of any layer, even a custom one, by watching matmul, convolution and einsum kernels in
 * ordinary forward passes. No activations are stored. Weights and trainability are not touched, and nothing is
 * left in tensor memory.
 *
 * Rows that a batch's `mask` `[batch, seq]` marks with 0 do not count, in every operand that has
 * batch·seq rows.
 *
 * ```ts
 * const scores = await outlierScores(model, [tf.tensor2d(x)]);
 * await model.fit(x, y, {callbacks: [new LayerSamplingCallback({scores})]});
 * ```
 *
 * @throws if there is no calibration data, a block has no weight that is multiplied with an input, or
 *   its weights or their inputs are not finite.
 */
export async function outlierScores(
  model: tfl.LayersModel,
  batches: CalibrationBatches,
  options: OutlierScoreOptions = {},
): Promise<OutlierScores> {
  checkKnown(owner, options, Object.keys(outlierDefaults));
  const resolved: Required<OutlierScoreOptions> = {...outlierDefaults, ...definedIn(options)};
  const {tau, granularity, blocks: selector} = resolved;
  if (tau !== 'auto') checkNumber(owner, `tau, if not 'auto',`, tau, {exclusiveMin: 0});
  checkChoice(owner, 'granularity', granularity, outlierGranularities);

  const blocks = resolveBlocks(model, selector);
  const taus = tau === 'auto' ? autoTaus : [tau];
  const norms = new InputNorms(blocks.flatMap(({weights}) => weights.map(sourceOf)));
  try {
    const layers = blocks.flatMap((block) => block.layers);
    await runCalibration(owner, model, layers, batches, (forward, mask) =>
      norms.watch(forward, mask),
    );
    const sizes: number[] = [];
    const countsByBlock: number[][] = [];
    for (const block of blocks) {
      const weights = await linearMagnitudes(block, norms);
      sizes.push(weights.reduce((sum, {size}) => sum + size, 0));
      try {
        countsByBlock.push(await countOutliers(block, weights, taus, granularity));
      } finally {
        for (const magnitudes of weights) magnitudes.dispose();
      }
    }
    const enough = taus.findIndex((_, i) => countsByBlock.every((c) => c[i]! >= autoOutliers));
    const chosen = enough >= 0 ? enough : taus.length - 1;
    const counts = countsByBlock.map((c) => c[chosen]!);
    return {
      kind: 'outlier',
      tau: taus[chosen]!,
      granularity,
      blocks: blocks.map(({name}) => name),
      scores: counts.map((count, i) => count / sizes[i]!),
      counts,
      sizes,
    };
  } finally {
    norms.dispose();
  }
}

export const outlier: ScoreDefinition<OutlierScoreOptions, OutlierScores> = {
  title: 'outlier ratio',
  isRatio: true,
  needsData: true,
  options: ['tau', 'granularity'],
  compute: outlierScores,
};

/** A of each linear weight of the block. */
async function linearMagnitudes(block: ResolvedBlock, norms: InputNorms): Promise<Magnitudes[]> {
  const magnitudes: Magnitudes[] = [];
  for (const weight of block.weights) {
    const norm = norms.of(sourceOf(weight));
    if (norm) magnitudes.push(await magnitudesOf(weight, norm));
  }
  if (magnitudes.length === 0) {
    throw new Error(
      `${owner}: no weight of block '${block.name}' was multiplied with an input in the forward pass; ` +
        `leave it out of blocks`,
    );
  }
  return magnitudes;
}

/** The outliers of a block for each τ. */
async function countOutliers(
  block: ResolvedBlock,
  weights: readonly Magnitudes[],
  taus: readonly number[],
  granularity: OutlierGranularity,
): Promise<number[]> {
  const counts = taus.map(() => 0);
  for (const group of granularity === 'block' ? [weights] : weights.map((one) => [one])) {
    let sum = 0;
    let size = 0;
    for (const magnitudes of group) {
      sum += await magnitudes.sum();
      size += magnitudes.size;
    }
    if (!Number.isFinite(sum)) {
      throw new Error(
        `${owner}: the weights of block '${block.name}' or their inputs are NaN or too large; ` +
          `look at the calibration data and the weights`,
      );
    }
    const thresholds = taus.map((tau) => (tau * sum) / size);
    for (const magnitudes of group) {
      const above = await magnitudes.countAbove(thresholds);
      above.forEach((count, i) => (counts[i]! += count));
    }
  }
  return counts;
}
