import {createTokenizer, type Tokenizer, type TokenizerConfig} from './tokenizer';
import type {TokenizerJson} from './tokenizer_library';

/** Where the files of a tokenizer are. */
export interface TextFiles {
  /** The text of a file, null if there is none of that name. */
  readText(name: string): Promise<string | null>;
}

const OWNER = 'loadTokenizer';

/**
 * Reads a tokenizer of Hugging Face: `tokenizer.json`, and if they are there `tokenizer_config.json`
 * and `chat_template.jinja`, which wins over the template in `tokenizer_config.json`.
 *
 * @throws if `tokenizer.json` is missing, or if a file is not what it should be.
 */
export async function loadTokenizer(files: TextFiles): Promise<Tokenizer> {
  const json = await readJson<TokenizerJson>(files, 'tokenizer.json');
  if (json === null) {
    throw new Error(
      `${OWNER}: there is no tokenizer.json; a tokenizer that has only tokenizer.model or vocab.json ` +
        "must first be loaded and saved with transformers' AutoTokenizer",
    );
  }
  const config = (await readJson<TokenizerConfig>(files, 'tokenizer_config.json')) ?? {};
  const template = (await files.readText('chat_template.jinja')) ?? defaultTemplate(config);

  // only who loads a tokenizer loads the libraries
  const [{createLibraryTokenizer}, {compileChatTemplate}] = await Promise.all([
    import('./tokenizer_library'),
    import('./chat_template'),
  ]);
  const chatTemplate = template === null ? null : compileChatTemplate(template);
  try {
    return createTokenizer({json, config, chatTemplate, createLibraryTokenizer});
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`${OWNER}: tokenizer.json cannot be used: ${reason}`, {cause});
  }
}

async function readJson<T extends object>(files: TextFiles, name: string): Promise<T | null> {
  const text = await files.readText(name);
  if (text === null) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Error(`${OWNER}: ${name} is not JSON: ${(cause as Error).message}`, {cause});
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Error(`${OWNER}: ${name} must hold an object`);
  }
  return value as T;
}

/** Of several templates the one named `default`. */
function defaultTemplate({chat_template: template}: TokenizerConfig): string | null {
  if (template === undefined || typeof template === 'string') return template ?? null;
  return template.find(({name}) => name === 'default')?.template ?? null;
}
