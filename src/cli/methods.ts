/** The methods of fine-tuning that the paper compares, each as what it is made of. */
import type {LayerSamplingOptions} from '../layer_sampling_options';
import {probabilityDefaults} from '../sampling/probabilities';

/** What a method is made of. */
export interface MethodParts {
  title: string;
  /** Whether the updates of the blocks' matrices are low-rank. */
  lowRank: boolean;
  /** What draws the blocks: their scores, something else, or nothing, so that all train. */
  sampling: 'scores' | 'uniform' | 'decreasing' | 'permutation' | null;
  /** Blocks that train at a time, in its authors' hands. */
  gamma?: number;
}

export const methods = {
  owlore: {title: 'OwLore', lowRank: true, sampling: 'scores', gamma: probabilityDefaults.gamma},
  'owlore-full': {title: 'OwLore (full rank)', lowRank: false, sampling: 'scores', gamma: 2},
  lisa: {title: 'LISA', lowRank: false, sampling: 'uniform', gamma: 2},
  'lisa-d': {title: 'LISA-D', lowRank: false, sampling: 'decreasing', gamma: 2},
  galore: {title: 'GaLore', lowRank: true, sampling: null},
  badam: {title: 'BAdam', lowRank: false, sampling: 'permutation', gamma: 1},
  full: {title: 'Full fine-tuning', lowRank: false, sampling: null},
} as const satisfies Record<string, MethodParts>;

export type MethodName = keyof typeof methods;

export const methodNames = Object.keys(methods) as MethodName[];

/** How the callback draws the blocks where no scores do: BAdam trains nothing but the blocks of the period. */
export const presetSampling = {
  uniform: {scores: 'uniform'},
  decreasing: {scores: 'decreasing'},
  permutation: {scores: 'uniform', sampler: 'permutation', alwaysOn: false},
} as const satisfies Record<string, LayerSamplingOptions>;
