/** Scores of a model's blocks by the name of their kind. */
import type * as tfl from '@tensorflow/tfjs-layers';
import {blockInfluenceScores} from '../scores/block_influence';
import type {CalibrationBatches} from '../scores/calibration';
import {outlierScores, type OutlierScoreOptions} from '../scores/outlier';
import {relativeMagnitudeScores} from '../scores/relative_magnitude';
import type {BlockScores} from '../scores/scores';

export type ScoreKind = BlockScores['kind'];

export const scoreKinds: readonly ScoreKind[] = ['outlier', 'relativeMagnitude', 'blockInfluence'];

/** Of each kind, what a table calls it. */
export const scoreTitles: Readonly<Record<ScoreKind, string>> = {
  outlier: 'outlier ratio',
  relativeMagnitude: 'relative magnitude',
  blockInfluence: 'block influence',
};

/**
 * Computes the scores of a kind.
 *
 * @param calibration Makes the calibration data; of relative magnitudes it is not called.
 * @param options Of outlier scores.
 */
export async function scoreBlocks(
  kind: ScoreKind,
  model: tfl.LayersModel,
  calibration: () => CalibrationBatches,
  options: OutlierScoreOptions = {},
): Promise<BlockScores> {
  switch (kind) {
    case 'outlier':
      return outlierScores(model, calibration(), options);
    case 'relativeMagnitude':
      return relativeMagnitudeScores(model);
    case 'blockInfluence':
      return blockInfluenceScores(model, calibration());
  }
}
