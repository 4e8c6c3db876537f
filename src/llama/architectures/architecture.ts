import type {LlamaConfig, ResolvedConfig} from '../config';
import type {ConfigKeys} from '../files/config_keys';
import type {JsonObject} from '../files/json';
import type {RopeKeys} from '../files/rope_keys';
import type {Activation} from '../mlp';
import type {BlockWeightTable} from './weights';

/** Options of `createLlama` that some architectures do not have. */
export type OwnOption = 'slidingWindow' | 'layerTypes' | 'ropeLocalBaseFreq' | 'queryPreAttnScalar';

/**
 * All that distinguishes one kind of model from another: what its `config.json` says, which weights it has, and what it computes. The
 * model, the loader and the writer read it here.
 */
export interface Architecture {
  /** `model_type` of `config.json`. */
  modelType: string;
  /** What `architectures` of `config.json` says of a model with a head for the next token. */
  className: string;
  /**
   * The weights of a block. Those that LLaMA does not have are used where the table has them: biases are added to the projections, `qNorm`
   * and `kNorm` normalize queries and keys before these are turned, output norms what attention and MLP add.
   */
  weights: BlockWeightTable;
  /** The activation of the MLP; default SiLU. */
  activation?: Activation;
  /** Whether a norm multiplies by 1 + its weight; default false. */
  unitOffset?: boolean;
  /** Whether what is looked up in the embedding is multiplied by √hiddenSize; default false. */
  scaledEmbedding?: boolean;
  /** Which of these options it has; without an option it does what LLaMA does. */
  options: readonly OwnOption[];
  config: ArchitectureConfig;
}

/** How `config.json` describes a model of an architecture, in the words of transformers 4 and 5. */
export interface ArchitectureConfig {
  /** What transformers takes where there is no such key, beyond what all architectures have in common. */
  defaults: JsonObject;
  /** Further keys that would change the computation unless they have one of these values. */
  neutral: Readonly<Record<string, readonly unknown[]>>;
  rope: RopeKeys;
  /** Options from the keys that not all architectures have in common. */
  read(keys: ConfigKeys, layers: number): Partial<LlamaConfig>;
  /** These keys from the options. */
  write(config: ResolvedConfig): JsonObject;
}
