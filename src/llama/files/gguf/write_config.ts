/** A model's configuration in the metadata of a GGUF file. */
import {architectures} from '../../architectures';
import type {LayerType} from '../../architectures/model_options';
import type {ResolvedConfig} from '../../config';
import {modelKeys} from './key_names';
import type {TypedValue} from './write_header';

/** A model as a GGUF file holds it. */
export interface GgufModel {
  /** Of an architecture that such files have. */
  config: ResolvedConfig;
  /** By key. */
  metadata: ReadonlyMap<string, TypedValue>;
}

/** The largest number of metadata. */
const MAX_UINT32 = 2 ** 32 - 1;

/**
 * The model of a configuration, as llama.cpp is to compute it.
 *
 * A window that llama.cpp does not have in this architecture (Mistral's, Qwen's) limits the context: up to its length nothing is
 * hidden by it.
 *
 * @throws if the configuration asks for something that llama.cpp does not compute in this architecture.
 */
export function ggufModelOf(owner: string, given: ResolvedConfig): GgufModel {
  const {inGgufAs} = architectures[given.architecture];
  const config = {...given, ...(inGgufAs && {architecture: inGgufAs})};
  const {architecture, headDim, slidingWindow, maxPositionEmbeddings} = config;
  const {gguf} = architectures[architecture];
  const refuse = (what: string): never => {
    throw new Error(
      `${owner}: a GGUF file of a ${architecture} model cannot have ${what}, which llama.cpp does not compute`,
    );
  };
  if (!gguf) throw new Error(`${owner}: no GGUF file holds a ${architecture} model`);
  if (config.ropeScaling !== null && !gguf.stretchesRotary) refuse('stretched wavelengths');
  if (config.queryPreAttnScalar !== headDim)
    refuse(`queryPreAttnScalar ${config.queryPreAttnScalar} with heads of width ${headDim}`);
  const {slidingWindowPattern: usual} = gguf;
  const seen = usual === undefined ? (slidingWindow ?? Infinity) : Infinity;
  const k = modelKeys;
  const entries: Array<[name: string, value: TypedValue]> = [
    [k.vocabulary, {uint32: config.vocabSize}],
    [k.positions, {uint32: Math.min(maxPositionEmbeddings, seen, MAX_UINT32)}],
    [k.width, {uint32: config.hiddenSize}],
    [k.blocks, {uint32: config.numHiddenLayers}],
    [k.mlpWidth, {uint32: config.intermediateSize}],
    [k.heads, {uint32: config.numAttentionHeads}],
    [k.keyValueHeads, {uint32: config.numKeyValueHeads}],
    [k.keyWidth, {uint32: headDim}],
    [k.valueWidth, {uint32: headDim}],
    [k.epsilon, {float32: config.rmsNormEps}],
    [k.ropeBase, {float32: config.ropeTheta}],
    [k.ropeWidth, {uint32: headDim}],
    ...(usual === undefined ? [] : windowEntries(config, usual, refuse)),
  ];
  return {
    config,
    metadata: new Map(entries.map(([name, value]) => [`${architecture}.${name}`, value])),
  };
}

function windowEntries(
  {slidingWindow, layerTypes, numHiddenLayers, ropeLocalBaseFreq}: ResolvedConfig,
  usual: number,
  refuse: (what: string) => never,
): Array<[name: string, value: TypedValue]> {
  if (slidingWindow === null) return refuse('blocks without a sliding window alone');
  const types: readonly LayerType[] =
    layerTypes ?? Array.from({length: numHiddenLayers}, () => 'sliding_attention');
  const follows = (pattern: number): boolean =>
    types.every((type, i) => (type === 'full_attention') === ((i + 1) % pattern === 0));
  const pattern = [...types, 'full_attention'].indexOf('full_attention') + 1;
  if (!follows(pattern)) refuse('other blocks with a sliding window than all but every n-th');
  return [
    [modelKeys.window, {uint32: slidingWindow}],
    ...(follows(usual)
      ? []
      : ([[modelKeys.windowPattern, {uint32: pattern}]] satisfies Array<[string, TypedValue]>)),
    [modelKeys.windowRopeBase, {float32: ropeLocalBaseFreq}],
  ];
}
