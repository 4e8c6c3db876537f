/** The tokenizer in the metadata of a GGUF file, as the files in which Hugging Face keeps one. */
import {architectures, type ArchitectureName} from '../../architectures';
import {jsonText, show, type JsonObject} from '../../../files/json';
import {byteLevelModel} from './byte_level';
import type {MetadataKeys} from './metadata_keys';
import {sentencePieceModel} from './sentencepiece';
import {readVocabulary, type TokenizerModel, type Vocabulary} from './vocabulary';

const MODEL_KEY = 'tokenizer.ggml.model';
const TEMPLATE_KEY = 'tokenizer.chat_template';

/** Ids of tokens in the metadata, by their names in `tokenizer_config.json`. */
const tokenIds = {
  bos_token: 'tokenizer.ggml.bos_token_id',
  eos_token: 'tokenizer.ggml.eos_token_id',
  unk_token: 'tokenizer.ggml.unknown_token_id',
  pad_token: 'tokenizer.ggml.padding_token_id',
} as const;

/** Further tokens after which a model has no more to say. */
const endIds = ['tokenizer.ggml.eot_token_id', 'tokenizer.ggml.eom_token_id'];

/** Whether the file has a tokenizer at all. */
export function hasTokenizer(keys: MetadataKeys): boolean {
  const model = keys.text(MODEL_KEY);
  return model !== undefined && model !== 'none' && model !== 'no_vocab';
}

/** @throws if the file's kind of tokenizer is not supported, or if it is not what it should be. */
export function tokenizerFiles(
  keys: MetadataKeys,
  architecture: ArchitectureName,
): Map<string, string> {
  const vocabulary = readVocabulary(keys);
  const {model, normalizer, pre_tokenizer, decoder, notWhole, addsBos} = readModel(
    keys,
    vocabulary,
    architecture,
  );
  const tokens = Object.entries(tokenIds).flatMap(([name, key]) => {
    const id = tokenId(keys, key, vocabulary);
    return id === undefined ? [] : [[name, vocabulary.tokens[id]!] as const];
  });
  const named = Object.fromEntries(tokens);
  const ends = {
    add_bos_token: (keys.flag('tokenizer.ggml.add_bos_token') ?? addsBos) && 'bos_token' in named,
    add_eos_token: (keys.flag('tokenizer.ggml.add_eos_token') ?? false) && 'eos_token' in named,
  };
  const json = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: vocabulary.whole
      .filter(({id}) => !notWhole?.has(id))
      .map((token) => ({
        ...token,
        ...{single_word: false, lstrip: false, rstrip: false, normalized: false},
      })),
    normalizer,
    pre_tokenizer,
    post_processor: postProcessor(keys, ends, named),
    decoder,
    model,
  };
  const config = {
    ...named,
    ...ends,
    clean_up_tokenization_spaces: false,
    tokenizer_class: 'PreTrainedTokenizerFast',
  };
  const template = keys.text(TEMPLATE_KEY);
  return new Map([
    ['tokenizer.json', JSON.stringify(json)],
    ['tokenizer_config.json', jsonText(config)],
    ...(template === undefined ? [] : ([['chat_template.jinja', template]] as const)),
  ]);
}

/** Ids for `config.json`, and for `generation_config.json`, where all ends of an answer are. */
export function specialIds(keys: MetadataKeys): {config: JsonObject; generation: JsonObject} {
  const id = (key: string): number | undefined => keys.integer(key, 0);
  const [bos, eos, pad] = [id(tokenIds.bos_token), id(tokenIds.eos_token), id(tokenIds.pad_token)];
  const ends = [eos, ...endIds.map(id)].filter((each) => each !== undefined);
  const shared = {
    ...(bos !== undefined && {bos_token_id: bos}),
    ...(pad !== undefined && {pad_token_id: pad}),
  };
  const all = [...new Set(ends)];
  return {
    config: {...shared, ...(eos !== undefined && {eos_token_id: eos})},
    generation: {...shared, ...(all.length > 0 && {eos_token_id: all.length > 1 ? all : all[0]})},
  };
}

function readModel(
  keys: MetadataKeys,
  vocabulary: Vocabulary,
  architecture: ArchitectureName,
): TokenizerModel {
  const kind = keys.text(MODEL_KEY);
  if (kind === 'gpt2') return byteLevelModel(keys, vocabulary);
  if (kind === 'llama') {
    const {gguf} = architectures[architecture];
    return sentencePieceModel(keys, vocabulary, gguf?.ranksMergesById ?? false);
  }
  throw new Error(
    `${keys.owner}: ${MODEL_KEY} must be "gpt2" (byte-level) or "llama" (SentencePiece); got ${show(kind)}; ` +
      "take the model as safetensors, with its tokenizer's files",
  );
}

/** @throws if there is no such token. */
function tokenId(keys: MetadataKeys, key: string, {tokens}: Vocabulary): number | undefined {
  const id = keys.integer(key, 0);
  if (id === undefined || id < tokens.length) return id;
  throw new Error(`${keys.owner}: ${key} is ${id}, but there are ${tokens.length} tokens only`);
}

/** What puts tokens around a text; null if nothing does. */
function postProcessor(
  keys: MetadataKeys,
  {add_bos_token: bos, add_eos_token: eos}: Record<'add_bos_token' | 'add_eos_token', boolean>,
  named: Readonly<Record<string, string>>,
): JsonObject | null {
  if (!bos && !eos) return null;
  const special = (isAdded: boolean, name: 'bos_token' | 'eos_token'): string[] =>
    isAdded ? [named[name]!] : [];
  const around = (parts: object[]): object[] => [
    ...special(bos, 'bos_token').map((id) => ({SpecialToken: {id, type_id: 0}})),
    ...parts,
    ...special(eos, 'eos_token').map((id) => ({SpecialToken: {id, type_id: 0}})),
  ];
  const text = {Sequence: {id: 'A', type_id: 0}};
  const entries = (['bos_token', 'eos_token'] as const)
    .filter((name) => (name === 'bos_token' ? bos : eos))
    .map((name) => {
      const token = named[name]!;
      return [token, {id: token, ids: [keys.integer(tokenIds[name], 0)], tokens: [token]}] as const;
    });
  return {
    type: 'TemplateProcessing',
    single: around([text]),
    pair: around([text, {Sequence: {id: 'B', type_id: 0}}]),
    special_tokens: Object.fromEntries(entries),
  };
}
