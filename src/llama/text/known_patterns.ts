import {isObject} from '../../files/json';
import {DIGIT, GPT2, GPT4O, LLAMA3, LLAMA_CPP_DEFAULT, QWEN2, TEKKEN} from './split_patterns';

/**
 * Patterns of tokenizers in use, of GPT-2, LLaMA 3, Qwen, GPT-4o and DeepSeek, and simple ones. None of them backtracks for long
 * on any text; recheck 4.5 found them safe.
 */
const KNOWN: readonly string[] = [
  ...[GPT2, LLAMA3, QWEN2, GPT4O, TEKKEN, DIGIT],
  ...LLAMA_CPP_DEFAULT,
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
  '\\p{N}{1,3}',
  '[一-龥぀-ゟ゠-ヿ]+',
  '\\s+',
  ' {2,}',
];

/** Whether all regular expressions in a part of `tokenizer.json` are of tokenizers in use. */
export function areKnownPatterns(part: unknown): boolean {
  if (Array.isArray(part)) return part.every(areKnownPatterns);
  if (!isObject(part)) return true;
  return Object.entries(part).every(([name, value]) =>
    name === 'Regex' ? KNOWN.includes(value as string) : areKnownPatterns(value),
  );
}
