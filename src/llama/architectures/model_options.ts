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

/** Whether a block sees all earlier positions or has the sliding window. */
export type LayerType = 'full_attention' | 'sliding_attention';

/** What an architecture reads of a configuration: all but its name. */
export interface ModelOptions {
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
   * Base of the rotary wavelengths of blocks with the sliding window; if given, these wavelengths are not stretched. An option of
   * Gemma 3. Default `ropeTheta`.
   */
  ropeLocalBaseFreq?: number;
  /** The products of queries and keys are divided by its square root: an option of Gemma 3. Default `headDim`. */
  queryPreAttnScalar?: number;
  /**
   * Whether the projections to queries, keys and values have biases; default: true for Qwen2, false for the others. The output
   * projection never has one.
   */
  attentionBias?: boolean;
  /**
   * How many keys a position sees at most, its own and those just before it, as in Mistral: query q sees
   * key k if q − slidingWindow < k ≤ q. Default null: all earlier ones. LLaMA has no window.
   */
  slidingWindow?: number | null;
  /**
   * Which blocks have the sliding window, an option of Qwen and Gemma models; default null: all blocks, if there is a window.
   */
  layerTypes?: readonly LayerType[] | null;
  /** Longest sequence that the model accepts, in tokens; default 2048. */
  maxPositionEmbeddings?: number;
  /** Whether the head is the transposed embedding, without a weight of its own; default false. */
  tieWordEmbeddings?: boolean;
  /**
   * Whether the loss applies the head in training, so that the logits of a batch never exist together;
   * default false. Worth it where `vocabSize` is many times `hiddenSize`; where the gradient of the whole
   * head is made, it costs one more product with the head. In `fit`, and wherever the model is called
   * with `{training: true}`, only `sparseCrossEntropy` can then use the output: no other loss, and no
   * metric in `compile`.
   */
  headInLoss?: boolean;
  /** Standard deviation of the initial weights; default 0.02. */
  initializerRange?: number;
  /** Seed of the initial weights; default null: different ones each time. */
  seed?: number | null;
}

export type ResolvedModelOptions = Required<ModelOptions>;
