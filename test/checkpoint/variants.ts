/** Trainings with options that keep something of their own from step to step, for tests that stop them. */
import type * as tfl from '@tensorflow/tfjs-layers';
import {trainEmbedding} from '../../src/memory/estimate/embedding_mode';
import type {OwLoreOptions} from '../../src/index';
import {loadLlama, saveLlama} from '../../src/llama';
import {applyLora, type Lora} from '../../src/lora';
import {smallLlama, SmallTraining, type SmallTrainingOptions} from './small_training';

/** What a training has beyond the options of {@link SmallTraining}. */
interface Variant extends Omit<SmallTrainingOptions, 'model'> {
  /** LoRA with dropout, in place of blocks that are on by turns. */
  lora?: true;
  /** Frozen matrices at 16 bits. */
  isPacked?: true;
  /** Embedding and head in low-rank form. */
  hasLowRankEmbedding?: true;
}

const often: OwLoreOptions = {refreshInterval: 2};

export const variants = {
  'rotated moments': {
    task: 'dense',
    optimizer: {accumulate: 2, clipNorm: 0.5, moments: 'rotate'},
  },
  fira: {optimizer: {...often, update: 'fira', moments: 'rotate', clipNorm: 1}},
  apollo: {optimizer: {...often, update: 'apollo', state: 'keep'}},
  'apollo-mini': {
    optimizer: {...often, update: 'apollo-mini', rank: 1, scale: 128 ** 0.5},
  },
  'rates of groups': {
    optimizer: {learningRates: [{variables: /norm/, factor: 2}], nonFinite: 'halve'},
  },
  'low-rank embedding': {hasLowRankEmbedding: true, optimizer: {...often, accumulate: 2}},
  'no gradient in every second batch': {task: 'dense', everyOther: /head|b1/, optimizer: often},
  'LoRA with dropout': {lora: true, optimizer: {project: false}},
  '16 bits': {isPacked: true},
} satisfies Record<string, Variant>;

export type VariantName = keyof typeof variants;
export const defaultVariant: VariantName = 'rotated moments';
export const variantNames = Object.keys(variants) as VariantName[];

const BLOCKS = 4;

/**
 * A training by its name, on the current backend: of a LLaMA, if it does not say otherwise. The caller disposes of it.
 *
 * @param seed Of the initial weights.
 */
export async function makeVariant(
  name: VariantName,
  seed = 1,
): Promise<{training: SmallTraining; lora: Lora | null}> {
  const {lora: isLora, isPacked, hasLowRankEmbedding, ...variant}: Variant = variants[name];
  const options: SmallTrainingOptions = {
    ...{task: 'llama', blocks: BLOCKS, seed},
    ...{sampling: isLora ? null : {gamma: 1, interval: 2}},
    ...variant,
  };
  if (options.task !== 'llama') return {training: new SmallTraining(options), lora: null};
  const created = smallLlama(seed, BLOCKS, hasLowRankEmbedding);
  const model = isPacked ? await packed(created) : created;
  const lora = isLora
    ? applyLora(model, {rank: 2, alpha: 4, dropout: 0.2, targets: ['all-linear'], seed: 5})
    : null;
  const project = hasLowRankEmbedding ? trainEmbedding('low-rank', model, 'owlore') : {};
  const optimizer: OwLoreOptions = {...options.optimizer, ...project};
  return {training: new SmallTraining({...options, optimizer, model}), lora};
}

/** The same model with its frozen matrices at 16 bits; disposes of the one that it was. */
async function packed(model: tfl.LayersModel): Promise<tfl.LayersModel> {
  const files = new Map<string, Uint8Array>();
  await saveLlama(model, files);
  model.dispose();
  return (await loadLlama(files, {frozenDtype: 'BF16'})).model;
}
