import {
  checkChoice,
  checkFlag,
  checkKnown,
  checkNumber,
  definedIn,
  display,
} from '../common/options';
import {architectureNames, architectures, type ArchitectureName} from './architectures';
import type {OwnOption} from './architectures/architecture';
import type {LayerType, ModelOptions, RopeScaling} from './architectures/model_options';

/**
 * Sizes of a LLaMA-style model; the names are those of Hugging Face's `config.json` in camel case.
 */
export interface LlamaConfig extends ModelOptions {
  /**
   * What kind of model it is: `'llama'`, `'mistral'`, `'qwen2'`, `'qwen3'` or `'gemma3'`. Default: `'qwen2'` with `attentionBias`,
   * else `'mistral'` with a `slidingWindow`, else `'llama'`.
   */
  architecture?: ArchitectureName;
}

/** A configuration with all of its options. */
export type ResolvedConfig = Required<LlamaConfig>;

const OWNER = 'createLlama';

/** How many layers a model may have; more than any has. Lists with an entry for each layer are made of them, and estimates run each. */
export const LAYERS = {integer: true, min: 1, max: 256};

/** Defaults, except those that follow from other options. */
const DEFAULTS = {
  rmsNormEps: 1e-5,
  ropeTheta: 10000,
  ropeScaling: null,
  slidingWindow: null,
  layerTypes: null,
  maxPositionEmbeddings: 2048,
  tieWordEmbeddings: false,
  headInLoss: false,
  initializerRange: 0.02,
  seed: null,
} as const satisfies Partial<LlamaConfig>;

/** Sizes that are at least 1, and at most more than any model has: a stranger's file must not ask for tables without end. */
const MAX_COUNTS = {
  vocabSize: 2 ** 24,
  hiddenSize: 2 ** 20,
  intermediateSize: 2 ** 20,
  numHiddenLayers: LAYERS.max,
  numAttentionHeads: 2 ** 12,
  numKeyValueHeads: 2 ** 12,
  headDim: 2 ** 12,
} as const satisfies Partial<Record<keyof LlamaConfig, number>>;

/** Numbers above 0. */
const POSITIVE = [
  'rmsNormEps',
  'ropeTheta',
  'ropeLocalBaseFreq',
  'queryPreAttnScalar',
] as const satisfies ReadonlyArray<keyof LlamaConfig>;

/** Options whose defaults follow from others. */
const DERIVED = [
  'architecture',
  'attentionBias',
  'ropeLocalBaseFreq',
  'queryPreAttnScalar',
] as const satisfies ReadonlyArray<keyof LlamaConfig>;

/**
 * Fills in the defaults of a configuration.
 *
 * @throws if an option is unknown, missing or out of range, if the architecture does not have it, or if the number of heads does
 *   not divide as it must.
 */
export function resolveConfig(config: LlamaConfig): ResolvedConfig {
  checkKnown(OWNER, config, [...Object.keys(MAX_COUNTS), ...Object.keys(DEFAULTS), ...DERIVED]);
  const resolved = withDefaults(config);
  const count = {integer: true, min: 1};
  for (const [name, max] of Object.entries(MAX_COUNTS)) {
    const value = resolved[name as keyof typeof MAX_COUNTS];
    checkNumber(OWNER, name, value, {...count, ...(value > max && {max})});
  }
  const {numAttentionHeads, numKeyValueHeads, headDim, ropeScaling, slidingWindow, seed} = resolved;
  for (const name of POSITIVE) checkNumber(OWNER, name, resolved[name], {exclusiveMin: 0});
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
      `${OWNER}: headDim must be even, because rotary embedding rotates pairs; got ${headDim}`,
    );
  }
  const withLayers = {...resolved, ...resolveLayerTypes(resolved)};
  checkArchitecture(withLayers);
  return withLayers;
}

function withDefaults(config: LlamaConfig): ResolvedConfig {
  const {hiddenSize, numAttentionHeads, attentionBias, slidingWindow} = config;
  const byWindow = (slidingWindow ?? null) === null ? 'llama' : 'mistral';
  const {architecture = attentionBias ? 'qwen2' : byWindow} = config;
  checkChoice(OWNER, 'architecture', architecture, architectureNames);
  const {headDim = hiddenSize / numAttentionHeads, ropeTheta = DEFAULTS.ropeTheta} = config;
  return {
    ...DEFAULTS,
    architecture,
    numKeyValueHeads: numAttentionHeads,
    headDim,
    ropeLocalBaseFreq: ropeTheta,
    queryPreAttnScalar: headDim,
    attentionBias: 'qBias' in architectures[architecture].weights,
    ...definedIn(config),
  };
}

/** Throws if the architecture does not compute what an option asks for. */
function checkArchitecture(config: ResolvedConfig): void {
  const {architecture, attentionBias, ropeTheta, headDim} = config;
  const {weights, options} = architectures[architecture];
  const refuse = (name: keyof LlamaConfig, wanted: unknown): never => {
    throw new Error(
      `${OWNER}: ${name} must be ${display(wanted)} in the architecture '${architecture}'; ` +
        `got ${display(config[name])}`,
    );
  };
  const hasBias = 'qBias' in weights;
  if (attentionBias !== hasBias) refuse('attentionBias', hasBias);
  const plain: Record<OwnOption, unknown> = {
    slidingWindow: null,
    layerTypes: null,
    ropeLocalBaseFreq: ropeTheta,
    queryPreAttnScalar: headDim,
  };
  for (const [name, value] of Object.entries(plain) as Array<[OwnOption, unknown]>) {
    if (!options.includes(name) && config[name] !== value) refuse(name, value);
  }
}

/** The window, and the type of each layer; null in place of types that are all the same. */
function resolveLayerTypes({
  slidingWindow,
  layerTypes,
  numHiddenLayers,
}: ResolvedConfig): Pick<ResolvedConfig, 'slidingWindow' | 'layerTypes'> {
  if (layerTypes === null) return {slidingWindow, layerTypes};
  if (!Array.isArray(layerTypes) || layerTypes.length !== numHiddenLayers) {
    throw new Error(
      `${OWNER}: layerTypes must have an entry for each of ${numHiddenLayers} layers; ` +
        `got ${display(layerTypes)}`,
    );
  }
  layerTypes.forEach((type, i) => checkChoice(OWNER, `layerTypes[${i}]`, type, LAYER_TYPES));
  const kinds = new Set(layerTypes);
  if (kinds.has('sliding_attention') && slidingWindow === null) {
    throw new Error(
      `${OWNER}: layerTypes may have 'sliding_attention' with a slidingWindow only; got null`,
    );
  }
  if (kinds.size > 1) return {slidingWindow, layerTypes};
  return {slidingWindow: kinds.has('sliding_attention') ? slidingWindow : null, layerTypes: null};
}

const LAYER_TYPES: readonly LayerType[] = ['full_attention', 'sliding_attention'];

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
