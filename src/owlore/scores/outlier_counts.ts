/** Counts the outliers of blocks; a page loads it when scores are asked for. */

import type * as tfl from '@tensorflow/tfjs-layers';
import {resolveBlocks, type BlockSelector, type ResolvedBlock} from '../../model/blocks';
import {checkModel} from '../../common/options';
import {sourceOf} from '../../model/packed_weight';
import {runCalibration, type CalibrationBatches} from './calibration';
import {InputNorms} from './input_norms';
import {magnitudesOf, type Magnitudes} from './magnitudes';

/** What is counted. */
interface Counting {
  taus: readonly number[];
  granularity: 'block' | 'layer';
  blocks: BlockSelector;
}

/** The outliers of each block. */
interface OutlierCounts {
  /** Names of the blocks. */
  blocks: string[];
  /** Number of entries in the linear weights of each block. */
  sizes: number[];
  /** Of each block, for each τ. */
  counts: number[][];
}

/**
 * Counts the outliers of each block for each τ, as `outlierScores` describes it.
 *
 * @param owner What messages start with.
 * @throws as `outlierScores`.
 */
export async function countOutliers(
  owner: string,
  model: tfl.LayersModel,
  batches: CalibrationBatches,
  {taus, granularity, blocks: selector}: Counting,
): Promise<OutlierCounts> {
  checkModel(owner, model);
  const blocks = resolveBlocks(model, selector);
  const norms = new InputNorms(blocks.flatMap(({weights}) => weights.map(sourceOf)));
  try {
    const layers = blocks.flatMap((block) => block.layers);
    await runCalibration(owner, model, layers, batches, (forward, mask) =>
      norms.watch(forward, mask),
    );
    const sizes: number[] = [];
    const counts: number[][] = [];
    for (const block of blocks) {
      const weights = await linearMagnitudes(owner, block, norms);
      sizes.push(weights.reduce((sum, {size}) => sum + size, 0));
      try {
        counts.push(await countIn(owner, block, weights, taus, granularity));
      } finally {
        for (const magnitudes of weights) magnitudes.dispose();
      }
    }
    return {blocks: blocks.map(({name}) => name), sizes, counts};
  } finally {
    norms.dispose();
  }
}

/** A of each linear weight of the block. */
async function linearMagnitudes(
  owner: string,
  block: ResolvedBlock,
  norms: InputNorms,
): Promise<Magnitudes[]> {
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
async function countIn(
  owner: string,
  block: ResolvedBlock,
  weights: readonly Magnitudes[],
  taus: readonly number[],
  granularity: Counting['granularity'],
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
