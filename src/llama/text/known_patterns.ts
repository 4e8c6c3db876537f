import {isObject} from '../../files/json';

const WORDS_OF_LLAMA_3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/**
 * Patterns of tokenizers in use, of GPT-2, LLaMA 3, Qwen, GPT-4o and DeepSeek, and simple ones. None of them backtracks for long
 * on any text; recheck 4.5 found them safe.
 */
const KNOWN: readonly string[] = [
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  WORDS_OF_LLAMA_3,
  WORDS_OF_LLAMA_3.replace('{1,3}', ''),
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
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
