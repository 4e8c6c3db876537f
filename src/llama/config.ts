import {checkFlag, checkKnown, checkNumber, definedIn} from '../options';

/**
 * Stretches the rotary wavelengths as LLaMA 3.1 does, to read texts longer than it was pre-trained
 * on.
 */
export interface RopeScaling {
  /** How much the long wavelengths grow; at least 1. */
  factor: number;
  /** Wavelengths above `originalMaxPositionEmbeddings / lowFreqFactor` grow by `factor`. */
  lowFreqFactor: number;
  /** Wavelengths below `originalMaxPositionEmbeddings / highFreqFactor` stay as they are. */
  highFreqFactor: number;
  /** Length of the texts of the pre-training, in tokens. */
  originalMaxPositionEmbeddings: number;
}

/**
 * Sizes of a LLaMA-style model; the names are those of Hugging Face's `config.json` in camel case.
 */
export interface LlamaConfig {
  /** Number of different tokens. */
  vocabSize: number;
  /** Width of the hidden states. */
  hiddenSize: number;
  /** Width inside the MLP. */
  intermediateSize: number;
  /** Number of blocks. */
  numHiddenLayers: number;
  /** Number of query heads. */
  numAttentionHeads: number;
  /**
   * Number of key and value heads, each shared by as many query heads; default `numAttentionHeads`.
   */
  numKeyValueHeads?: number;
  /** Width of a head, an even number; default `hiddenSize / numAttentionHeads`. */
  headDim?: number;
  /** Added to the mean square in RMSNorm; default 1e-5. */
  rmsNormEps?: number;
  /** Base of the rotary wavelengths; default 10000. */
  ropeTheta?: number;
  /** Stretched rotary wavelengths; default none. */
  ropeScaling?: RopeScaling | null;
  /**
   * Whether the projections to queries, keys and values have biases, as in Qwen2; default false. The
   * output projection has none.
   */
  attentionBias?: boolean;
  /**
   * How many keys a position sees at most, its own and those just before it, as in Mistral: key k is
   * seen by query q where q − slidingWindow < k ≤ q; default null: all earlier ones.
   */
  slidingWindow?: number | null;
  /** Longest sequence that the model accepts, in tokens; default 2048. */
  maxPositionEmbeddings?: number;
  /** Whether the head is the transposed embedding, without a weight of its own; default false. */
  tieWordEmbeddings?: boolean;
  /**
   * Whether the loss applies the head in training, to some positions at a time, so that the logits
   * of a batch never exist together; default false. Worth it where `vocabSize` is many times
   * `hiddenSize`; it costs one more product with the head. In `fit`, and wherever the model is
   * called with `{training: true}`, the output is then for `sparseCrossEntropy` alone: no other
   * loss, and no metric in `compile`.
   */
  headInLoss?: boolean;
  /** Standard deviation of the initial weights; default 0.02. */
  initializerRange?: number;
  /** Seed of the initial weights; default null: different ones each time. */
  seed?: number | null;
}

const OWNER = 'createLlama';

/** Of all options that need not be given, but those whose defaults follow from others. */
const DEFAULTS = {
  rmsNormEps: 1e-5,
  ropeTheta: 10000,
  ropeScaling: null,
  attentionBias: false,
  slidingWindow: null,
  maxPositionEmbeddings: 2048,
  tieWordEmbeddings: false,
  headInLoss: false,
  initializerRange: 0.02,
  seed: null,
} as const satisfies Partial<LlamaConfig>;

/** Sizes that are at least 1. */
const COUNTS = [
  'vocabSize',
  'hiddenSize',
  'intermediateSize',
  'numHiddenLayers',
  'numAttentionHeads',
  'numKeyValueHeads',
  'headDim',
] as const satisfies ReadonlyArray<keyof LlamaConfig>;

/**
 * Fills in the defaults of a configuration.
 *
 * @throws if an option is unknown, missing or out of range, or if the heads do not divide as they
 *   must.
 */
export function resolveConfig(config: LlamaConfig): Required<LlamaConfig> {
  checkKnown(OWNER, config, [...COUNTS, ...Object.keys(DEFAULTS)]);
  const {hiddenSize, numAttentionHeads} = config;
  const resolved: Required<LlamaConfig> = {
    ...DEFAULTS,
    numKeyValueHeads: numAttentionHeads,
    headDim: hiddenSize / numAttentionHeads,
    ...definedIn(config),
  };
  const count = {integer: true, min: 1};
  for (const name of COUNTS) checkNumber(OWNER, name, resolved[name], count);
  const {numKeyValueHeads, headDim, ropeScaling, slidingWindow, seed} = resolved;
  checkNumber(OWNER, 'rmsNormEps', resolved.rmsNormEps, {exclusiveMin: 0});
  checkNumber(OWNER, 'ropeTheta', resolved.ropeTheta, {exclusiveMin: 0});
  checkNumber(OWNER, 'maxPositionEmbeddings', resolved.maxPositionEmbeddings, count);
  checkNumber(OWNER, 'initializerRange', resolved.initializerRange, {min: 0});
  if (ropeScaling !== null) checkRopeScaling(ropeScaling);
  if (slidingWindow !== null) checkNumber(OWNER, 'slidingWindow', slidingWindow, count);
  if (seed !== null) checkNumber(OWNER, 'seed', seed, {integer: true});
  checkFlag(OWNER, 'attentionBias', resolved.attentionBias);
  checkFlag(OWNER, 'tieWordEmbeddings', resolved.tieWordEmbeddings);
  checkFlag(OWNER, 'headInLoss', resolved.headInLoss);
  if (numAttentionHeads % numKeyValueHeads !== 0) {
    throw new Error(
      `${OWNER}: numKeyValueHeads must divide numAttentionHeads (${numAttentionHeads}); ` +
        `got ${numKeyValueHeads}`,
    );
  }
  if (headDim % 2 !== 0) {
    throw new Error(
      `${OWNER}: headDim must be even, for rotary embedding turns pairs; got ${headDim}`,
    );
  }
  return resolved;
}

function checkRopeScaling(scaling: RopeScaling): void {
  const owner = `${OWNER}: ropeScaling`;
  checkKnown(owner, scaling, [
    'factor',
    'lowFreqFactor',
    'highFreqFactor',
    'originalMaxPositionEmbeddings',
  ]);
  const {factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings} = scaling;
  checkNumber(owner, 'factor', factor, {min: 1});
  checkNumber(owner, 'lowFreqFactor', lowFreqFactor, {exclusiveMin: 0});
  checkNumber(owner, 'highFreqFactor', highFreqFactor, {exclusiveMin: lowFreqFactor});
  checkNumber(owner, 'originalMaxPositionEmbeddings', originalMaxPositionEmbeddings, {
    integer: true,
    min: 1,
  });
}
