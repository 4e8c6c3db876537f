/** The outlier score of a block, Eq. 2 of the OwLore paper. */

import type * as tfl from '@tensorflow/tfjs-layers';
import type {BlockSelector} from '../../model/blocks';
import {OnDemand} from '../../common/on_demand';
import {checkChoice, checkKnown, checkNumber, definedIn} from '../../common/options';
import type {CalibrationBatches} from './calibration';
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

/** For `outlierScores`. */
export const outlierCounts = new OnDemand(() => import('./outlier_counts'));

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

  const taus = tau === 'auto' ? autoTaus : [tau];
  const {countOutliers} = await outlierCounts.load();
  const {
    blocks,
    sizes,
    counts: all,
  } = await countOutliers(owner, model, batches, {
    ...{taus, granularity, blocks: selector},
  });
  const enough = taus.findIndex((_, i) => all.every((counts) => counts[i]! >= autoOutliers));
  const chosen = enough >= 0 ? enough : taus.length - 1;
  const counts = all.map((each) => each[chosen]!);
  return {
    kind: 'outlier',
    tau: taus[chosen]!,
    granularity,
    blocks,
    scores: counts.map((count, i) => count / sizes[i]!),
    counts,
    sizes,
  };
}

export const outlier: ScoreDefinition<OutlierScoreOptions, OutlierScores> = {
  title: 'outlier ratio',
  isRatio: true,
  needsData: true,
  options: ['tau', 'granularity'],
  compute: outlierScores,
};
