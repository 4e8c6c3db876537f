/** Names in the metadata of a GGUF file, and numbers that stand for something there, as llama.cpp has them. */

export const generalKeys = {
  architecture: 'general.architecture',
  type: 'general.type',
  fileType: 'general.file_type',
  quantizationVersion: 'general.quantization_version',
  alignment: 'general.alignment',
  license: 'general.license',
  baseModels: 'general.base_model.count',
  baseModel: 'general.base_model.0.name',
  baseOrganization: 'general.base_model.0.organization',
  baseUrl: 'general.base_model.0.repo_url',
} as const;

/** What `general.type` says of a whole model. */
export const MODEL = 'model';

/** Of a model, after the name of its architecture. */
export const modelKeys = {
  vocabulary: 'vocab_size',
  positions: 'context_length',
  width: 'embedding_length',
  blocks: 'block_count',
  mlpWidth: 'feed_forward_length',
  heads: 'attention.head_count',
  keyValueHeads: 'attention.head_count_kv',
  keyWidth: 'attention.key_length',
  valueWidth: 'attention.value_length',
  epsilon: 'attention.layer_norm_rms_epsilon',
  ropeBase: 'rope.freq_base',
  ropeWidth: 'rope.dimension_count',
  window: 'attention.sliding_window',
  windowPattern: 'attention.sliding_window_pattern',
  windowRopeBase: 'rope.freq_base_swa',
} as const;

export const tokenizerKeys = {
  model: 'tokenizer.ggml.model',
  preTokenizer: 'tokenizer.ggml.pre',
  tokens: 'tokenizer.ggml.tokens',
  types: 'tokenizer.ggml.token_type',
  scores: 'tokenizer.ggml.scores',
  merges: 'tokenizer.ggml.merges',
  addsBos: 'tokenizer.ggml.add_bos_token',
  addsEos: 'tokenizer.ggml.add_eos_token',
  addsSpace: 'tokenizer.ggml.add_space_prefix',
  template: 'tokenizer.chat_template',
} as const;

/** Ids of tokens, by their names in `tokenizer_config.json`. */
export const tokenIdKeys = {
  bos_token: 'tokenizer.ggml.bos_token_id',
  eos_token: 'tokenizer.ggml.eos_token_id',
  unk_token: 'tokenizer.ggml.unknown_token_id',
  pad_token: 'tokenizer.ggml.padding_token_id',
} as const;

/** Further tokens after which a model has no more to say. */
export const endIdKeys = ['tokenizer.ggml.eot_token_id', 'tokenizer.ggml.eom_token_id'] as const;

/** Kinds of vocabulary, in `tokenizer.ggml.model`. */
export const BYTE_LEVEL = 'gpt2';
export const SENTENCE_PIECE = 'llama';

/** What kind of token one is. */
export const tokenTypes = {
  normal: 1,
  unknown: 2,
  control: 3,
  userDefined: 4,
  unused: 5,
  byte: 6,
} as const;
