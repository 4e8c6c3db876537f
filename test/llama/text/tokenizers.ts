import {readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';

export const TOKENIZER_NAMES = ['bytelevel', 'llama2like', 'llama3like'] as const;
export type TokenizerName = (typeof TOKENIZER_NAMES)[number];

/** The folder of a tokenizer of the fixtures. */
export const tokenizerFolder = (name: TokenizerName): string =>
  fileURLToPath(new URL(`../../fixtures/llama/tokenizer_${name}/`, import.meta.url));

/** The files of a fixture's tokenizer, some of them replaced (null: left out). */
export function tokenizerFiles(
  name: TokenizerName,
  changes: Record<string, object | string | null> = {},
): Map<string, Uint8Array> {
  const names = ['tokenizer.json', 'tokenizer_config.json'];
  const files = new Map(names.map((file) => [file, readFileSync(tokenizerFolder(name) + file)]));
  for (const [file, content] of Object.entries(changes)) {
    if (content === null) files.delete(file);
    else
      files.set(file, Buffer.from(typeof content === 'string' ? content : JSON.stringify(content)));
  }
  return files;
}
