/** The tokenizer in the metadata of a GGUF file, as the files in which Hugging Face keeps one. */
import {architectures, type ArchitectureName} from '../../architectures';
import {jsonText, show, type JsonObject} from '../../../files/json';
import {byteLevelModel} from './byte_level';
import {BYTE_LEVEL, endIdKeys, SENTENCE_PIECE, tokenIdKeys, tokenizerKeys} from './key_names';
import type {MetadataKeys} from './metadata_keys';
import {sentencePieceModel} from './sentencepiece';
import {readVocabulary, type TokenizerModel, type Vocabulary} from './vocabulary';

/** Whether the file has a tokenizer at all. */
export function hasTokenizer(keys: MetadataKeys): boolean {
  const model = keys.text(tokenizerKeys.model);
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
  const tokens = Object.entries(tokenIdKeys).flatMap(([name, key]) => {
    const id = tokenId(keys, key, vocabulary);
    return id === undefined ? [] : [[name, vocabulary.tokens[id]!] as const];
  });
  const named = Object.fromEntries(tokens);
  const ends = {
    add_bos_token: (keys.flag(tokenizerKeys.addsBos) ?? addsBos) && 'bos_token' in named,
    add_eos_token: (keys.flag(tokenizerKeys.addsEos) ?? false) && 'eos_token' in named,
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
  const template = keys.text(tokenizerKeys.template);
  return new Map([
    ['tokenizer.json', JSON.stringify(json)],
    ['tokenizer_config.json', jsonText(config)],
    ...(template === undefined ? [] : ([['chat_template.jinja', template]] as const)),
  ]);
}

/** Ids for `config.json`, and for `generation_config.json`, where all ends of an answer are. */
export function specialIds(keys: MetadataKeys): {config: JsonObject; generation: JsonObject} {
  const id = (key: string): number | undefined => keys.integer(key, 0);
  const {bos_token, eos_token, pad_token} = tokenIdKeys;
  const [bos, eos, pad] = [id(bos_token), id(eos_token), id(pad_token)];
  const ends = [eos, ...endIdKeys.map(id)].filter((each) => each !== undefined);
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
  const kind = keys.text(tokenizerKeys.model);
  if (kind === BYTE_LEVEL) return byteLevelModel(keys, vocabulary);
  if (kind === SENTENCE_PIECE) {
    const {gguf} = architectures[architecture];
    return sentencePieceModel(keys, vocabulary, gguf?.ranksMergesById ?? false);
  }
  throw new Error(
    `${keys.owner}: ${tokenizerKeys.model} must be "${BYTE_LEVEL}" (byte-level) or "${SENTENCE_PIECE}" (SentencePiece); got ${show(kind)}; ` +
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
      return [
        token,
        {id: token, ids: [keys.integer(tokenIdKeys[name], 0)], tokens: [token]},
      ] as const;
    });
  return {
    type: 'TemplateProcessing',
    single: around([text]),
    pair: around([text, {Sequence: {id: 'B', type_id: 0}}]),
    special_tokens: Object.fromEntries(entries),
  };
}
