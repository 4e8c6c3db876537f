/** Relative magnitude (RM): how large a block's weights are, without calibration data. */

import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import type {LayerVariable} from '@tensorflow/tfjs-layers/dist/variables';
import {resolveBlocks, type BlockSelector, type ResolvedBlock} from '../../model/blocks';
import {checkChoice, checkKnown} from '../../common/options';
import type {BlockScores, ScoreDefinition} from './scores';

const owner = 'relativeMagnitudeScores';
const measures = ['meanAbs', 'sumAbs', 'frobenius'] as const;

export type MagnitudeMeasure = (typeof measures)[number];

/** Options of `relativeMagnitudeScores`. */
export interface RelativeMagnitudeOptions {
  /** How a block is measured; see `relativeMagnitudeScores`. Default `'meanAbs'`. */
  measure?: MagnitudeMeasure;
  /** Which parts of the model are blocks. Default `'auto'`; see `findBlocks`. */
  blocks?: BlockSelector;
}

/** The result of `relativeMagnitudeScores`. */
export interface RelativeMagnitudeScores extends BlockScores {
  kind: 'relativeMagnitude';
  measure: MagnitudeMeasure;
}

/**
 * The magnitude of a block's matrices W, the weights with two or more axes; biases and norms do not count.
 * `samplingProbabilities` makes it relative to the other blocks. The paper names the score without a
 * formula, so that there is a choice:
 *
 * `'meanAbs'`: mean |W_ij| over all entries, so that large and small blocks compare; `'sumAbs'`: Σ|W_ij|;
 * `'frobenius'`: Σ‖W‖_F.
 *
 * @throws if a block has no matrix, or one with weights that are not finite.
 */
export async function relativeMagnitudeScores(
  model: tfl.LayersModel,
  options: RelativeMagnitudeOptions = {},
): Promise<RelativeMagnitudeScores> {
  checkKnown(owner, options, ['measure', 'blocks']);
  const {measure = 'meanAbs', blocks: selector = 'auto'} = options;
  checkChoice(owner, 'measure', measure, measures);

  const blocks = resolveBlocks(model, selector);
  const scores: number[] = [];
  for (const block of blocks) scores.push(await magnitude(block, measure));
  return {
    kind: 'relativeMagnitude',
    measure,
    blocks: blocks.map(({name}) => name),
    scores,
  };
}

export const relativeMagnitude: ScoreDefinition<RelativeMagnitudeOptions, RelativeMagnitudeScores> =
  {
    title: 'relative magnitude',
    isRatio: false,
    needsData: false,
    options: ['measure'],
    compute: (model, _, options) => relativeMagnitudeScores(model, options),
  };

async function magnitude(block: ResolvedBlock, measure: MagnitudeMeasure): Promise<number> {
  const matrices = block.weights.filter(({shape}) => shape.length >= 2);
  if (matrices.length === 0) {
    throw new Error(
      `${owner}: block '${block.name}' has no weight with two or more axes; leave it out of blocks`,
    );
  }
  const measured = (weight: LayerVariable): tf.Tensor =>
    tf.tidy(() => {
      const w = weight.read();
      return measure === 'frobenius' ? tf.norm(w) : tf.sum(tf.abs(w));
    });
  // Not by addN: with more than about eight tensors it needs more buffers than WebGPU can bind.
  const total = tf.tidy(() => tf.sum(tf.stack(matrices.map(measured))));
  const [sum] = await total.data();
  total.dispose();
  if (!Number.isFinite(sum))
    throw new Error(
      `${owner}: the magnitude of block '${block.name}' is ${sum}: it has weights that are not finite, or whose sum is not`,
    );
  const sizes = matrices.map(({shape}) => tf.util.sizeFromShape(shape as number[]));
  return measure === 'meanAbs' ? sum! / sizes.reduce((all, size) => all + size, 0) : sum!;
}
