/** The options of an estimate, with their defaults and checks. */
import {
  gradientCheckpointingChoices,
  type GradientCheckpointing,
} from '../../tape/recompute_layers';
import {loraDefaults} from '../../lora/lora_options';
import type {LoraTargets} from '../../lora/targets';
import {describedBackends} from '../../kernels/kernel_outputs';
import {frozenDtypes} from '../../llama/files/load_llama';
import {textDatasetDefaults} from '../../llama/text/dataset_options';
import {
  paperMethodNames,
  paperMethods,
  trainsRest,
  type MethodParts,
  type PaperMethodName,
} from '../../methods';
import {checkChoice, checkKnown, checkNumber, definedIn} from '../../common/options';
import {
  basisNames,
  owloreDefaults,
  type ResolvedOwLoreOptions,
} from '../../owlore/optimizer/options';
import {updateNames} from '../../owlore/optimizer/rules';
import {embeddingModes, type EmbeddingMode} from './embedding_mode';
import {fittedGamma} from '../../owlore/sampling/block_probabilities';

/** By what a training runs: this library, or PyTorch as the OwLore paper measured it. */
export type Engine = 'tfjs' | 'torch';
export const engines: readonly Engine[] = ['tfjs', 'torch'];

/** A backend of which it is known what its kernels put out. */
export type EstimatedBackend = 'cpu' | 'wasm' | 'tensorflow' | 'webgpu';

const dtypes = ['F32', 'BF16'];

/** Options of {@link estimateMemory}. */
export interface EstimateOptions {
  /** The method, by its name in `paperMethod`. Default `'owlore'`. */
  method?: PaperMethodName;
  /** Blocks that train at a time. Default: the method's, or as many as the model has room for. */
  gamma?: number;
  /** Rank of the updates of matrices; with `'lora'`, of A and B. Default 128; with `'lora'` 8. */
  rank?: number;
  /** Sequences in a batch. Default 16. */
  batchSize?: number;
  /** Tokens in a sequence. Default 512, or as many as the model takes. */
  maxLength?: number;
  /** `'tfjs'`: this library. `'torch'`: PyTorch, as the OwLore paper measured its methods. Default `'tfjs'`. */
  engine?: Engine;
  /** Of this library: the backend. Default `'tensorflow'`. */
  backend?: EstimatedBackend;
  /** Of this library: which layers run again in the backward pass, as the optimizer's option. Default `'auto'`. */
  gradientCheckpointing?: GradientCheckpointing;
  /** Of this library, with a method that trains them: how embedding and head train, as `finetune --embedding`. Default `'full'`. */
  embedding?: EmbeddingMode;
  /**
   * Of this library: whether the loss applies the head, as the option of `loadLlama`; of a model that is passed it is known. Default
   * false, or what the options of `createLlama` say.
   */
  headInLoss?: boolean;
  /** Of this library: how matrices are kept that do not train, as the option of `loadLlama`. Default `'F32'`. */
  frozenDtype?: 'F32' | 'BF16';
  /** Of this library: batches whose gradients make a step. Default 1. */
  accumulate?: number;
  /** Of this library: how projected matrices move, as the optimizer's option. Default `'galore'`. */
  update?: ResolvedOwLoreOptions['update'];
  /** Of this library: how bases are computed, as the optimizer's option; a function counts as `'svd'`. Default `'randomized'`. */
  basis?: (typeof basisNames)[number];
  /**
   * Of this library, with `'lora'`: the adapted matrices, as the option of `applyLora`. Default `'all-linear'`.
   */
  targets?: LoraTargets;
  /** Of this library, with `'lora'`: the probability of dropout, at least 0 and below 1. Default 0. */
  dropout?: number;
  /**
   * Of this library: the most that is counted of a batch's labels, as a part of its positions, > 0 and ≤ 1; the others are those of
   * prompts and padding, which have no logits. Default 1.
   */
  countedLabels?: number;
  /** Of PyTorch: the type of weights, gradients, state and activations. Default `'BF16'`. */
  dtype?: 'F32' | 'BF16';
}

export type ResolvedEstimateOptions = Required<EstimateOptions>;

const defaults = {
  method: 'owlore',
  gamma: undefined,
  rank: undefined,
  batchSize: textDatasetDefaults.batchSize,
  maxLength: undefined,
  engine: 'tfjs',
  backend: 'tensorflow',
  gradientCheckpointing: owloreDefaults.gradientCheckpointing,
  embedding: 'full',
  headInLoss: false,
  frozenDtype: 'F32',
  accumulate: owloreDefaults.accumulate,
  update: owloreDefaults.update,
  basis: 'randomized',
  targets: loraDefaults.targets,
  dropout: loraDefaults.dropout,
  countedLabels: 1,
  dtype: 'BF16',
} as const;

/** Options that only one of the engines has. */
export const ownOptions = {
  tfjs: [
    ...(['backend', 'gradientCheckpointing', 'embedding', 'headInLoss'] as const),
    ...(['frozenDtype', 'accumulate', 'update', 'basis'] as const),
    ...(['targets', 'dropout', 'countedLabels'] as const),
  ],
  torch: ['dtype'],
} satisfies Record<Engine, ReadonlyArray<keyof EstimateOptions>>;

const count = {integer: true, min: 1};

/** Tokens of a batch; ids of 32 bits for them are made. */
const MAX_TOKENS = 2 ** 24;

/** The largest batch that can be estimated. */
export function maxBatchSize(maxLength: number): number {
  return Math.floor(MAX_TOKENS / maxLength);
}

/**
 * @param blocks How many the model has.
 * @param maxPositions The longest sequence that it takes.
 * @throws Error that names the option, its value and what is allowed.
 */
export function resolveEstimateOptions(
  owner: string,
  options: EstimateOptions,
  {blocks, maxPositions}: {blocks: number; maxPositions: number},
): ResolvedEstimateOptions {
  checkKnown(owner, options, Object.keys(defaults));
  const given = definedIn(options);
  const all = {...defaults, ...given};
  checkChoice(owner, 'method', all.method, paperMethodNames);
  checkChoice(owner, 'engine', all.engine, engines);
  checkChoice(owner, 'backend', all.backend, describedBackends);
  checkChoice(
    owner,
    'gradientCheckpointing',
    all.gradientCheckpointing,
    gradientCheckpointingChoices,
  );
  checkChoice(owner, 'embedding', all.embedding, embeddingModes);
  checkChoice(owner, 'frozenDtype', all.frozenDtype, frozenDtypes);
  checkChoice(owner, 'update', all.update, updateNames);
  checkChoice(owner, 'basis', all.basis, basisNames);
  checkChoice(owner, 'dtype', all.dtype, dtypes);
  const other = all.engine === 'tfjs' ? 'torch' : 'tfjs';
  const [unused] = ownOptions[other].filter((name) => Object.hasOwn(given, name));
  if (unused !== undefined) {
    throw new Error(
      `${owner}: ${unused} has no meaning with engine '${all.engine}', but with '${other}'; leave it out`,
    );
  }
  const {sampling, lora = false}: MethodParts = paperMethods[all.method];
  if (!sampling && all.gamma !== undefined) {
    throw new Error(
      `${owner}: gamma has no meaning with method '${all.method}', which trains ${lora ? 'no block' : 'all blocks'}; leave it out`,
    );
  }
  if (!sampling && all.frozenDtype !== 'F32' && !lora) {
    throw new Error(
      `${owner}: frozenDtype '${all.frozenDtype}' has no meaning with method '${all.method}', which trains all blocks; leave it out`,
    );
  }
  if (!trainsRest(all.method) && Object.hasOwn(given, 'embedding')) {
    throw new Error(
      `${owner}: embedding has no meaning with method '${all.method}', which trains neither embedding nor head; leave it out`,
    );
  }
  const loraOption = ['targets', 'dropout'].find((name) => Object.hasOwn(given, name));
  if (!lora && loraOption !== undefined) {
    throw new Error(
      `${owner}: ${loraOption} has no meaning with method '${all.method}', but with 'lora'; leave it out`,
    );
  }
  const {
    gamma = sampling ? fittedGamma(sampling.gamma, blocks, blocks) : blocks,
    rank = lora ? loraDefaults.rank : owloreDefaults.rank,
    maxLength = Math.min(textDatasetDefaults.maxLength, maxPositions),
  } = all;
  if (sampling) checkNumber(owner, 'gamma', gamma, {exclusiveMin: 0, max: blocks});
  checkNumber(owner, 'rank', rank, count);
  checkNumber(owner, 'batchSize', all.batchSize, count);
  checkNumber(owner, 'maxLength', maxLength, {...count, max: maxPositions});
  checkNumber(owner, 'batchSize × maxLength', all.batchSize * maxLength, {max: MAX_TOKENS});
  checkNumber(owner, 'accumulate', all.accumulate, count);
  checkNumber(owner, 'dropout', all.dropout, {min: 0, exclusiveMax: 1});
  checkNumber(owner, 'countedLabels', all.countedLabels, {exclusiveMin: 0, max: 1});
  return {...all, gamma, rank, maxLength};
}
