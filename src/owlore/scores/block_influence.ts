/** Block influence (BI, Men et al., 2024): how much a block changes what passes through it. */

import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {resolveBlocks, type BlockSelector, type ResolvedBlock} from '../../model/blocks';
import {checkKnown} from '../../common/options';
import {watchLayers} from '../../tfjs/models';
import {runCalibration, type CalibrationBatches} from './calibration';
import {maskRows} from './row_mask';
import {RunningSums} from './running_sums';
import type {BlockScores, ScoreDefinition} from './scores';

const owner = 'blockInfluenceScores';

/** Options of `blockInfluenceScores`. */
export interface BlockInfluenceOptions {
  /** Which parts of the model are blocks, of one layer each. Default `'auto'`; see `findBlocks`. */
  blocks?: BlockSelector;
}

/** The result of `blockInfluenceScores`. */
export interface BlockInfluenceScores extends BlockScores {
  kind: 'blockInfluence';
}

/**
 * Block influence: 1 − the mean over rows of cos(x_in, x_out), where x_in is the block's (first) input and x_out
 * its output; a row is a vector along the last axis. Rows that a batch's `mask` `[batch, seq]` marks with 0 do
 * not count if x has batch·seq rows. Leaves weights, layers and tensor memory as they were.
 *
 * ```ts
 * const scores = await blockInfluenceScores(model, [tf.tensor2d(x)]);
 * ```
 *
 * @throws if there is no calibration data, a block is not one layer, its input and output differ in shape, or they are not
 *   finite.
 */
export async function blockInfluenceScores(
  model: tfl.LayersModel,
  batches: CalibrationBatches,
  options: BlockInfluenceOptions = {},
): Promise<BlockInfluenceScores> {
  checkKnown(owner, options, ['blocks']);
  const blockOf = new Map(
    resolveBlocks(model, options.blocks).map((block) => [soleLayer(block), block.name]),
  );
  const sums = new RunningSums();
  try {
    await runCalibration(owner, model, [...blockOf.keys()], batches, (forward, mask) => {
      const onCall: Parameters<typeof watchLayers>[1] = (layer, inputs, outputs) => {
        const block = blockOf.get(layer)!;
        tf.tidy(() => sums.add(block, cosines(block, first(inputs), first(outputs), mask)));
      };
      watchLayers([...blockOf.keys()], onCall, forward);
    });
    const blocks = [...blockOf.values()];
    const scores: number[] = [];
    for (const block of blocks) scores.push(await influence(block, sums.get(block)));
    return {kind: 'blockInfluence', blocks, scores};
  } finally {
    sums.dispose();
  }
}

export const blockInfluence: ScoreDefinition<BlockInfluenceOptions, BlockInfluenceScores> = {
  title: 'block influence',
  isRatio: false,
  needsData: true,
  options: [],
  compute: blockInfluenceScores,
};

/** The one layer of a block. */
function soleLayer({name, layers}: ResolvedBlock): tfl.layers.Layer {
  if (layers.length !== 1) {
    throw new Error(
      `${owner}: block '${name}' has ${layers.length} layers, and block influence needs blocks of one ` +
        `layer; put them in a nested model, or use another score`,
    );
  }
  return layers[0]!;
}

function first(tensors: tf.Tensor | tf.Tensor[]): tf.Tensor {
  return Array.isArray(tensors) ? tensors[0]! : tensors;
}

/** The sum of the cosine over the rows that count, and the number of these rows: shape `[2]`. */
function cosines(block: string, input: tf.Tensor, output: tf.Tensor, mask?: tf.Tensor): tf.Tensor {
  if (input.shape.join() !== output.shape.join()) {
    throw new Error(
      `${owner}: block '${block}' turns [${input.shape.join(', ')}] into ` +
        `[${output.shape.join(', ')}], and block influence needs equal shapes; use another score`,
    );
  }
  const dot = (a: tf.Tensor, b: tf.Tensor) => tf.sum(tf.mul(a, b), input.rank - 1);
  // each length by itself: the product of their squares would overflow, or be 0, far sooner
  const [inputs, outputs] = [input, output].map((x) => tf.sqrt(dot(x, x)));
  const cosine = tf.divNoNan(dot(input, output), tf.mul(inputs!, outputs!));
  const rows = tf.onesLike(cosine);
  const counted = mask ? [cosine, rows].map((x) => maskRows(x, [], mask)) : [cosine, rows];
  return tf.stack(counted.map((x) => tf.sum(x)));
}

async function influence(block: string, sum: tf.Tensor | undefined): Promise<number> {
  const sums = await sum?.data();
  if (!sums?.[1]) {
    throw new Error(
      `${owner}: block '${block}' saw no rows in the forward pass; leave it out of blocks`,
    );
  }
  if (!Number.isFinite(sums[0]))
    throw new Error(
      `${owner}: what goes into block '${block}' or comes out of it is not finite: the model has weights that are not finite, or ` +
        'the calibration data have such numbers',
    );
  return Math.max(0, 1 - sums[0]! / sums[1]); // rounding can bring the cosine above 1
}
