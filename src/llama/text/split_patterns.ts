/** Regular expressions by which tokenizers in use split a text into words. */

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";

/** A single digit, of any script. */
export const DIGIT = '\\p{N}';
export const DIGITS = '\\p{N}+';
export const GPT2 =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
export const LLAMA3 = `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
export const QWEN2 = LLAMA3.replace('{1,3}', '');
export const GPT4O = cased(`${CONTRACTIONS}?`, '\\p{N}{1,3}');
/** Of Mistral's tokenizer of that name. */
export const TEKKEN = cased('', DIGIT);
/** What llama.cpp calls "default"; they split one after the other. */
export const LLAMA_CPP_DEFAULT: readonly string[] = [
  '[\\p{P}\\$\\+<=>\\^~\\|]+',
  GPT2,
  DIGITS,
  '[0-9][0-9][0-9]',
];

/** Words that begin with capitals, or have small letters only. */
function cased(end: string, digits: string): string {
  const [upper, lower] = ['[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]', '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]'];
  const start = '[^\\r\\n\\p{L}\\p{N}]?';
  return (
    `${start}${upper}*${lower}+${end}|${start}${upper}+${lower}*${end}|${digits}` +
    '| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
  );
}
