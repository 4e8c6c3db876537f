/** All scores of blocks by their name. To add a score, add a file in this folder and a line in the table below. */

import type * as tfl from '@tensorflow/tfjs-layers';
import {checkChoice} from '../../common/options';
import {blockInfluence} from './block_influence';
import type {CalibrationBatches} from './calibration';
import {outlier} from './outlier';
import {relativeMagnitude} from './relative_magnitude';
import type {BlockScores, ScoreDefinition} from './scores';

export const scoreKinds = {
  outlier,
  relativeMagnitude,
  blockInfluence,
} as const satisfies Record<string, ScoreDefinition<never, BlockScores>>;

/** Which score: `'outlier'`, `'relativeMagnitude'`, `'blockInfluence'`. */
export type ScoreKind = keyof typeof scoreKinds;

/** The options of a score, those of the function that computes it. */
export type ScoreOptions<Kind extends ScoreKind> = Parameters<
  (typeof scoreKinds)[Kind]['compute']
>[2];

/** The result of a score. */
export type ScoresOf<Kind extends ScoreKind> = Awaited<
  ReturnType<(typeof scoreKinds)[Kind]['compute']>
>;

// Marked as pure, so that a page that uses one score does not load all of them.
export const scoreNames = /* @__PURE__ */ Object.keys(scoreKinds) as ScoreKind[];

/**
 * Computes a score by its name, for programs in which the score is a setting: by `outlierScores`, `relativeMagnitudeScores` or
 * `blockInfluenceScores`.
 *
 * @param batches Calibration data; a score that needs none does not read it.
 * @throws what that function throws; Error if the name is unknown.
 */
export function blockScores<Kind extends ScoreKind>(
  kind: Kind,
  model: tfl.LayersModel,
  batches: CalibrationBatches,
  options?: ScoreOptions<Kind>,
): Promise<ScoresOf<Kind>> {
  checkChoice('blockScores', 'kind', kind, scoreNames);
  // The types of options and result belong to `Kind`, which TypeScript does not follow through the table.
  const {compute} = scoreKinds[kind] as unknown as ScoreDefinition<
    ScoreOptions<Kind>,
    ScoresOf<Kind>
  >;
  return compute(model, batches, options);
}
