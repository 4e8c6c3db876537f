import type {ModelOptions, ResolvedModelOptions} from './model_options';
import type {ConfigKeys} from '../files/config_keys';
import type {JsonObject} from '../../files/json';
import type {RopeKeys} from '../files/rope_keys';
import type {Activation} from '../mlp';
import type {BlockWeightTable} from './weights';

/** Options of `createLlama` that some architectures do not have. */
export type OwnOption = 'slidingWindow' | 'layerTypes' | 'ropeLocalBaseFreq' | 'queryPreAttnScalar';

/**
 * Everything that distinguishes one kind of model from another: its `config.json`, its weights, and what it computes. The model,
 * the loader and the writer read it here.
 */
export interface Architecture {
  /** `model_type` of `config.json`. */
  modelType: string;
  /** The entry in `architectures` of `config.json` for a model with a head for the next token. */
  className: string;
  /**
   * The weights of a block. Weights that LLaMA does not have are used if the table has them: biases are added to the projections,
   * `qNorm` and `kNorm` normalize queries and keys before these are rotated, output norms normalize the outputs of attention and
   * MLP before these are added.
   */
  weights: BlockWeightTable;
  /** The activation of the MLP; default SiLU. */
  activation?: Activation;
  /** Whether a norm multiplies by 1 + its weight; default false. */
  unitOffset?: boolean;
  /** Whether the vectors from the embedding are multiplied by √hiddenSize; default false. */
  scaledEmbedding?: boolean;
  /** Which of these options it has; where it lacks one, it does what LLaMA does. */
  options: readonly OwnOption[];
  config: ArchitectureConfig;
  /** How GGUF files hold it, whose `general.architecture` is the architecture's name here; missing if none do. */
  gguf?: ArchitectureGguf;
  /** The architecture under whose name a GGUF file has it instead: another one that computes the same. */
  inGgufAs?: 'llama';
}

/** What llama.cpp's converter does with a model of an architecture. Norms with `unitOffset` have 1 added in all of them. */
export interface ArchitectureGguf {
  /** Whether the rows of queries and keys are reordered for a rotary embedding of neighbours; default false. */
  interleavesRotary?: boolean;
  /** Whether wavelengths may be stretched as LLaMA 3's are; default false. */
  stretchesRotary?: boolean;
  /** For a window in some blocks, without which llama.cpp computes something else: every n-th block is without, unless the file says otherwise. */
  slidingWindowPattern?: number;
  /** The base of the wavelengths of blocks with the window, unless the file says otherwise. */
  ropeLocalBaseFreq?: number;
  /** Whether merges of a SentencePiece vocabulary rank by the ids of their tokens, not by their scores; default false. */
  ranksMergesById?: boolean;
}

/** How `config.json` describes a model of an architecture, in the words of transformers 4 and 5. */
export interface ArchitectureConfig {
  /** The defaults of transformers for missing keys, beyond those that all architectures share. */
  defaults: JsonObject;
  /** Further keys that would change the computation unless they have one of these values. */
  neutral: Readonly<Record<string, readonly unknown[]>>;
  rope: RopeKeys;
  /** Options from the keys that not all architectures have in common. */
  read(keys: ConfigKeys, layers: number): Partial<ModelOptions>;
  /** The same keys from the options. */
  write(config: ResolvedModelOptions): JsonObject;
}
