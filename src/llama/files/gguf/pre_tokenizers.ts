/** Where a byte-level vocabulary splits a text into words, by `tokenizer.ggml.pre`, as llama.cpp does. */

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const LLAMA3 = `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const QWEN2 = LLAMA3.replace('{1,3}', '');
const GPT4O = cased(`${CONTRACTIONS}?`, '\\p{N}{1,3}');
const TEKKEN = cased('', '\\p{N}');
const DIGIT = '\\p{N}';

/** Words that begin with capitals, or have small letters only. */
function cased(end: string, digits: string): string {
  const [upper, lower] = ['[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]', '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]'];
  const start = '[^\\r\\n\\p{L}\\p{N}]?';
  return (
    `${start}${upper}*${lower}+${end}|${start}${upper}+${lower}*${end}|${digits}` +
    '| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
  );
}

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
  default: {patterns: ['[\\p{P}\\$\\+<=>\\^~\\|]+', GPT2, '\\p{N}+', '[0-9][0-9][0-9]']},
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
