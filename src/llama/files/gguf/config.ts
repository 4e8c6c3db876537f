/** The model that the metadata of a GGUF file describes. */
import {checkChoice} from '../../../common/options';
import {architectureNames, architectures, type ArchitectureName} from '../../architectures';
import type {LayerType, RopeScaling} from '../../architectures/model_options';
import {LAYERS, resolveConfig, type LlamaConfig, type ResolvedConfig} from '../../config';
import type {GgufTensor} from './header';
import {generalKeys, MODEL, modelKeys, tokenizerKeys} from './key_names';
import type {MetadataKeys} from './metadata_keys';

/** The tensors that decide something about the model: its embedding, and a head of its own. */
export const EMBEDDING_TENSOR = 'token_embd.weight';
export const HEAD_TENSOR = 'output.weight';

/** Those that GGUF files may hold. */
const supported = architectureNames.filter((name) => architectures[name].gguf);

/** The kind of model of a file. */
export function readArchitecture(keys: MetadataKeys): ArchitectureName {
  const {architecture: nameKey, type: typeKey} = generalKeys;
  const type = keys.text(typeKey) ?? MODEL;
  if (type !== MODEL) {
    throw new Error(
      `${keys.owner}: ${typeKey} is '${type}'; only the file of a whole model can be loaded, not an adapter or a part`,
    );
  }
  const name = keys.text(nameKey);
  if (name === undefined) throw keys.missing(nameKey);
  checkChoice(keys.owner, nameKey, name as ArchitectureName, supported);
  const parts = keys.integer('split.count', 0) ?? 0;
  if (parts > 1) {
    throw new Error(
      `${keys.owner}: it is one of ${parts} parts of a model; join them with llama-gguf-split --merge`,
    );
  }
  return name as ArchitectureName;
}

/** Those that architectures with a window in some blocks have alone. */
const windowKeys = new Set<string>([
  ...[modelKeys.window, modelKeys.windowPattern, modelKeys.windowRopeBase],
]);

/** Keys, after the name of the architecture, that are read, or that say nothing about what is computed. */
const known = new Set<string>([
  ...Object.values(modelKeys).filter((key) => !windowKeys.has(key)),
  ...['rope.scaling.type', 'rope.scaling.factor', 'rope.scale_linear'],
  ...['rope.scaling.original_context_length', 'rope.scaling.finetuned', 'tensor_data_layout'],
]);

/** Further keys that change nothing if they have one of these values. */
const neutral: Readonly<Record<string, readonly unknown[]>> = {
  expert_count: [0],
  expert_used_count: [0],
  'attention.causal': [true],
  [modelKeys.window]: [0],
  attn_logit_softcapping: [0],
  final_logit_softcapping: [0],
  pooling_type: [0],
};

/**
 * The model of a file with these metadata and tensors.
 *
 * @param ropeScaling Of the tensor `rope_freqs.weight`, if the file has it.
 * @throws if a key is missing or wrong, or asks for something that these models do not compute.
 */
export function readGgufConfig(
  keys: MetadataKeys,
  architecture: ArchitectureName,
  tensors: ReadonlyMap<string, GgufTensor>,
  ropeScaling: RopeScaling | null,
): ResolvedConfig {
  const {options} = architectures[architecture];
  checkKeys(keys, architecture);
  const of = (key: string): string => `${architecture}.${key}`;
  const epsilon = of(modelKeys.epsilon);
  const rmsNormEps = keys.positive(epsilon);
  if (rmsNormEps === undefined) throw keys.missing(epsilon);
  const headDim = readHeadDim(keys, architecture);
  const heads = keys.count(of(modelKeys.heads));
  const config: LlamaConfig = {
    architecture,
    vocabSize: vocabularySize(keys, tensors),
    hiddenSize: keys.count(of(modelKeys.width)),
    intermediateSize: keys.count(of(modelKeys.mlpWidth)),
    numHiddenLayers: readLayers(keys, architecture),
    numAttentionHeads: heads,
    numKeyValueHeads: keys.integer(of(modelKeys.keyValueHeads), 1) ?? heads,
    headDim,
    rmsNormEps,
    ropeTheta: keys.positive(of(modelKeys.ropeBase)) ?? 10_000,
    ropeScaling,
    maxPositionEmbeddings: keys.count(of(modelKeys.positions)),
    tieWordEmbeddings: !tensors.has(HEAD_TENSOR),
    ...(options.includes('queryPreAttnScalar') && {queryPreAttnScalar: headDim}),
    ...(options.includes('ropeLocalBaseFreq') && readWindow(keys, architecture)),
  };
  try {
    return resolveConfig(config);
  } catch (cause) {
    throw new Error(`${keys.owner}: ${(cause as Error).message}`, {cause});
  }
}

/** Throws if the file asks for something that is not computed here. */
function checkKeys(keys: MetadataKeys, architecture: ArchitectureName): void {
  const prefix = `${architecture}.`;
  const hasWindow = architectures[architecture].gguf?.slidingWindowPattern !== undefined;
  for (const key of keys.names) {
    if (!key.startsWith(prefix)) continue;
    const name = key.slice(prefix.length);
    if (known.has(name) || (hasWindow && windowKeys.has(name))) continue;
    const values = Object.hasOwn(neutral, name) ? neutral[name]! : [];
    if (values.includes(keys.get(key))) continue;
    throw keys.unsupported(key, `it must be ${values.join(' or ') || 'absent'}`);
  }
  checkRope(keys, prefix);
}

/** Throws unless wavelengths are as they come from the base: `rope_freqs.weight` is the one way in which they may be stretched. */
function checkRope(keys: MetadataKeys, prefix: string): void {
  const type = `${prefix}rope.scaling.type`;
  const given = keys.text(type) ?? 'linear';
  if (given === 'none') return;
  const what = "only LLaMA 3's stretched wavelengths are, which files have as rope_freqs.weight";
  if (given !== 'linear') throw keys.unsupported(type, what);
  for (const name of ['rope.scaling.factor', 'rope.scale_linear']) {
    // 0 stands for none
    if (![undefined, 0, 1].includes(keys.get(prefix + name) as number | undefined)) {
      throw keys.unsupported(prefix + name, what);
    }
  }
}

/** The width of a head, which keys, values and the rotary embedding must have in common. */
export function readHeadDim(keys: MetadataKeys, architecture: ArchitectureName): number {
  const of = (key: string): string => `${architecture}.${key}`;
  const width = keys.count(of(modelKeys.width)) / keys.count(of(modelKeys.heads));
  const headDim = keys.integer(of(modelKeys.keyWidth), 1) ?? width;
  for (const name of [modelKeys.valueWidth, modelKeys.ropeWidth]) {
    const other = keys.integer(of(name), 1);
    if (other === undefined || other === headDim) continue;
    throw keys.unsupported(of(name), `it must be the width of a head, ${headDim}`);
  }
  return headDim;
}

/** As many as the embedding has rows: the vocabulary may be shorter. */
function vocabularySize(keys: MetadataKeys, tensors: ReadonlyMap<string, GgufTensor>): number {
  const rows = tensors.get(EMBEDDING_TENSOR)?.shape[0];
  if (rows === undefined)
    throw new Error(`${keys.owner}: the file has no tensor "${EMBEDDING_TENSOR}"`);
  const {tokens: key} = tokenizerKeys;
  const tokens = keys.texts(key)?.length ?? 0;
  if (tokens <= rows) return rows;
  throw new Error(
    `${keys.owner}: ${key} has ${tokens} tokens, but "${EMBEDDING_TENSOR}" has rows for ${rows} only`,
  );
}

type Window = Pick<LlamaConfig, 'slidingWindow' | 'layerTypes' | 'ropeLocalBaseFreq'>;

/** The blocks with a window: by a list, or all but every n-th. */
function readWindow(keys: MetadataKeys, architecture: ArchitectureName): Window {
  const {gguf} = architectures[architecture];
  const of = (key: string): string => `${architecture}.${key}`;
  const window = keys.integer(of(modelKeys.window), 0) ?? 0;
  const slidingWindow = window === 0 ? null : window;
  const ropeLocalBaseFreq = keys.positive(of(modelKeys.windowRopeBase)) ?? gguf?.ropeLocalBaseFreq;
  // without a window all blocks are alike, and wavelengths are those of the blocks that see all positions
  if (slidingWindow === null) return {slidingWindow, ...(ropeLocalBaseFreq && {ropeLocalBaseFreq})};
  const layerTypes = blockTypes(
    keys,
    of(modelKeys.windowPattern),
    readLayers(keys, architecture),
    gguf?.slidingWindowPattern ?? 1,
  );
  return {slidingWindow, layerTypes, ...(ropeLocalBaseFreq && {ropeLocalBaseFreq})};
}

function readLayers(keys: MetadataKeys, architecture: ArchitectureName): number {
  const key = `${architecture}.${modelKeys.blocks}`;
  const layers = keys.count(key);
  if (layers > LAYERS.max) throw keys.wrong(key, `an integer of at most ${LAYERS.max}`);
  return layers;
}

function blockTypes(keys: MetadataKeys, key: string, blocks: number, usual: number): LayerType[] {
  const given = keys.get(key);
  if (Array.isArray(given)) {
    if (given.length !== blocks || !given.every((each) => typeof each === 'boolean')) {
      throw keys.wrong(key, `true or false for each of ${blocks} blocks`);
    }
    return given.map((isSliding) => (isSliding ? 'sliding_attention' : 'full_attention'));
  }
  const pattern = keys.integer(key, 1) ?? usual;
  return Array.from({length: blocks}, (_, i) =>
    (i + 1) % pattern === 0 ? 'full_attention' : 'sliding_attention',
  );
}
