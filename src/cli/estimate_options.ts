/** The options of a command as those of `estimateMemory`. */
import type {EstimateOptions} from '../memory/estimate/index';
import type {LlamaConfig} from '../llama/config';
import {textDatasetDefaults} from '../llama/text/dataset_options';
import {paperMethods, trainsRest, type MethodParts} from '../methods';
import {fittedGamma} from '../owlore/sampling/block_probabilities';
import type {FinetuneSettings} from './finetune_options';
import {targetsIn} from './lora_method';
import type {BackendName} from './register_backend';

type Names = 'method' | 'gamma' | 'rank' | 'batchSize' | 'maxLength' | 'embedding';
type OwnNames =
  | 'frozenDtype'
  | 'gradientCheckpointing'
  | 'accumulate'
  | 'update'
  | 'basis'
  | 'targets'
  | 'loraDropout';

/** The options of `finetune` that an estimate is about. */
export type EstimatedSettings = Pick<FinetuneSettings, Names | OwnNames> & {backend: BackendName};

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
