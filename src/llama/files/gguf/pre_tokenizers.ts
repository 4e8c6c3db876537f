/** Where a byte-level vocabulary splits a text into words, by `tokenizer.ggml.pre`, as llama.cpp does. */
import {
  DIGIT,
  GPT2,
  GPT4O,
  LLAMA3,
  LLAMA_CPP_DEFAULT,
  QWEN2,
  TEKKEN,
} from '../../text/split_patterns';

export interface PreTokenizer {
  /** Regular expressions that split one after the other. */
  patterns: readonly string[];
  /** Whether a word that is a token is taken as it is, without merges; default false. */
  ignoresMerges?: boolean;
  /** Whether texts begin with a token unless the file says otherwise; default false. */
  addsBos?: boolean;
}

const gpt2: PreTokenizer = {patterns: [GPT2]};
const digits: PreTokenizer = {patterns: [DIGIT, GPT2]};
const llama3: PreTokenizer = {patterns: [LLAMA3], ignoresMerges: true, addsBos: true};
const qwen2: PreTokenizer = {patterns: [QWEN2]};

/** By name. */
export const preTokenizers: Readonly<Record<string, PreTokenizer>> = {
  default: {patterns: LLAMA_CPP_DEFAULT},
  ...byName(
    gpt2,
    'gpt-2',
    'mpt',
    'olmo',
    'jais',
    'trillion',
    'granite-docling',
    'mellum',
    'exaone4',
  ),
  ...byName(gpt2, 'phi-2', 'gigachat', 'a.x-4.0'),
  ...byName(
    digits,
    'smollm',
    'starcoder',
    'refact',
    'command-r',
    'codeshell',
    'exaone',
    'minerva-7b',
  ),
  ...byName(
    llama3,
    'llama-bpe',
    'llama3',
    'llama-v3',
    'falcon3',
    'falcon-h1',
    'pixtral',
    'midm-2.0',
    'lfm2',
  ),
  'smaug-bpe': {patterns: [LLAMA3]},
  ...byName(
    qwen2,
    'qwen2',
    'deepseek-r1-qwen',
    'stablelm2',
    'megrez',
    'kormo',
    'hunyuan',
    'f2llmv2',
  ),
  tekken: {patterns: [TEKKEN], ignoresMerges: true, addsBos: true},
  ...byName({patterns: [GPT4O]}, 'gpt-4o', 'llama4', 'kanana2'),
};

function byName(kind: PreTokenizer, ...names: string[]): Record<string, PreTokenizer> {
  return Object.fromEntries(names.map((name) => [name, kind]));
}
