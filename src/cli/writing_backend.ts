/** Which backend writes texts soonest; docs/measurements.md has what was measured. */
import {architectures} from '../llama/architectures';
import type {ResolvedConfig} from '../llama/config';
import type {LlamaOutline, LoadLlamaOptions} from '../llama/index';
import {BY_SPEED} from './backend';
import {weightBytes} from '../memory/limit';
import type {BackendName} from './register_backend';

/** What is to be written. */
export interface Writing {
  /** How many texts are written at a time. */
  texts: number;
  /** Tokens of a prompt, about. */
  promptTokens: number;
  /** Tokens that are written after it, at most. */
  newTokens: number;
}

/** About so many characters are a token. */
export const CHARACTERS_OF_TOKEN = 4;

const WASM_FIRST: readonly BackendName[] = ['wasm', 'tensorflow', 'cpu'];

/** A model with fewer numbers is small: on tensorflow a token takes as long as starting its ops. */
const SMALL = 2 ** 25;

/**
 * wasm reads a prompt's tokens four to six times as slowly as tensorflow; with up to this many of them per new token it is still the
 * faster one overall.
 */
const PROMPT_FOR_NEW = 2;

/**
 * With 16-bit weights, a token of one text takes half as long on wasm as on tensorflow; from this many texts at a time on, wasm is no
 * faster.
 */
const TEXTS_AT_16_BITS = 4;

/** Of wasm's 4 GB, those for weights, keys and values. */
const WASM_BYTES = 3 * 2 ** 30;

/**
 * The order in which backends are tried: wasm first for one text, if the model is small or its weights are kept at 16 bits; else
 * tensorflow. It is also tensorflow for a long prompt, for a model that does not fit into wasm's memory, and for one whose blocks would run
 * op by op there.
 */
export function writingOrder(
  model: LlamaOutline,
  frozenDtype: LoadLlamaOptions['frozenDtype'],
  {texts, promptTokens, newTokens}: Writing,
): readonly BackendName[] {
  const {config, numbers} = model;
  const weights = weightBytes(model, frozenDtype);
  const positions = Math.min(promptTokens + newTokens, config.maxPositionEmbeddings);
  const bytes = weights + texts * positions * bytesOfPosition(config);
  if (bytes > WASM_BYTES || promptTokens > PROMPT_FOR_NEW * newTokens) return BY_SPEED;
  if (numbers < SMALL) return WASM_FIRST;
  const isAt16Bits = weights < 3 * numbers;
  const isOneKernel = isDecodedByKernel(config, positions);
  return isAt16Bits && isOneKernel && texts < TEXTS_AT_16_BITS ? WASM_FIRST : BY_SPEED;
}

function bytesOfPosition({numHiddenLayers, numKeyValueHeads, headDim}: ResolvedConfig): number {
  return 2 * numHiddenLayers * numKeyValueHeads * headDim * 4;
}

/** Whether the kernel for decoded blocks computes those of a model, up to so many positions. */
function isDecodedByKernel(config: ResolvedConfig, positions: number): boolean {
  const {weights, activation = 'silu'} = architectures[config.architecture];
  const hasNorms = ['qNorm', 'outputNorm', 'mlpOutputNorm'].some((role) => role in weights);
  const isHiding = config.slidingWindow !== null && config.slidingWindow < positions;
  return !hasNorms && activation === 'silu' && !isHiding;
}
