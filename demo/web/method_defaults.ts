/** What the library takes for a setting that nobody gives, as numbers to show. They stand here so that the first view needs none of it. */
import type {Settings} from './settings';

/** γ, rank and rate of each method, as `paperMethods` and `training_defaults` of the library have them. */
const ofMethod: Record<string, Settings> = {
  owlore: {gamma: 5, rank: 128, learningRate: 5e-4},
  'owlore-full': {gamma: 2, learningRate: 2e-4},
  lisa: {gamma: 2, learningRate: 2e-4},
  'lisa-d': {gamma: 2, learningRate: 2e-4},
  galore: {rank: 128, learningRate: 1e-4},
  badam: {gamma: 1, learningRate: 1e-3},
  lora: {rank: 8, learningRate: 2e-3},
  full: {learningRate: 5e-5},
};

/**
 * @param steps Of the run.
 * @param blocks Of the model; undefined: nobody knows yet.
 */
export function methodDefaults(method: string, steps: number, blocks = Infinity): Settings {
  const {gamma, ...others} = ofMethod[method]!;
  const tenth = Math.max(1, Math.ceil(steps / 10));
  return {
    ...others,
    // so that each period leaves a block off
    ...(gamma !== undefined && {gamma: Math.min(Number(gamma), Math.max(1, blocks - 1))}),
    interval: Math.min(50, Math.max(10, Math.floor(steps / 10))),
    ...{evaluateEvery: tenth, sampleEvery: tenth},
  };
}
