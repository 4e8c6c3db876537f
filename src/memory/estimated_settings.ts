/** The settings of a fine-tuning as the options of `estimateMemory`. */
import type {LlamaConfig} from '../llama/config';
import {textDatasetDefaults} from '../llama/text/dataset_options';
import {paperMethods, trainsRest, type MethodParts, type PaperMethodName} from '../methods';
import {fittedGamma} from '../owlore/sampling/block_probabilities';
import type {EmbeddingMode} from './estimate/embedding_mode';
import type {EstimatedBackend, EstimateOptions} from './estimate/index';

type SameOptions = Required<
  Pick<EstimateOptions, 'gradientCheckpointing' | 'accumulate' | 'update' | 'basis'>
>;

/** What an estimate of a fine-tuning is about: options of `finetune`. */
export interface EstimatedSettings extends SameOptions {
  method: PaperMethodName;
  gamma: number | undefined;
  rank: number;
  batchSize: number;
  maxLength: number | undefined;
  embedding: EmbeddingMode;
  frozenDtype: 'F32' | 'BF16';
  /** Names with commas between them. */
  targets: string;
  loraDropout: number;
  backend: EstimatedBackend;
}

export type SizedOptions = EstimateOptions & {rank: number; batchSize: number; maxLength: number};

/** The defaults of `finetune` are filled in, as far as they follow from the model. */
export function estimateOptionsOf(
  settings: EstimatedSettings,
  {numHiddenLayers: blocks, maxPositionEmbeddings = Infinity}: LlamaConfig,
): SizedOptions {
  const {
    method,
    backend,
    gradientCheckpointing,
    embedding,
    frozenDtype,
    accumulate,
    rank,
    batchSize,
  } = settings;
  const {update, basis, targets, loraDropout: dropout} = settings;
  const {lowRank, sampling, lora = false}: MethodParts = paperMethods[method];
  const projects = lowRank || (trainsRest(method) && embedding === 'low-rank');
  const {
    gamma = sampling && fittedGamma(sampling.gamma, blocks, blocks),
    maxLength = Math.min(textDatasetDefaults.maxLength, maxPositionEmbeddings),
  } = settings;
  return {
    ...{method, rank, batchSize, maxLength, backend, gradientCheckpointing, accumulate},
    headInLoss: true, // as `finetune` loads its model
    ...(sampling && gamma !== null && {gamma}),
    ...(trainsRest(method) && {embedding}),
    ...((sampling !== null || lora) && {frozenDtype}),
    ...(projects && {update, basis}),
    ...(lora && {targets: targetsIn(targets), dropout}),
  };
}

/** Whether the rank changes what a run takes. */
export function hasRank({
  method,
  embedding,
}: Pick<EstimatedSettings, 'method' | 'embedding'>): boolean {
  const {lowRank, lora = false}: MethodParts = paperMethods[method];
  return lowRank || lora || (trainsRest(method) && embedding === 'low-rank');
}

/** The targets in a list of them, as the command line has it. */
export function targetsIn(list: string): string[] {
  return list.split(',').map((target) => target.trim());
}
