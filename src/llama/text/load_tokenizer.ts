import {checkKnown} from '../../options';
import {MAX_JSON_BYTES, parseJsonObject} from '../../files/json';
import {
  openSource,
  readWhole,
  type FileSource,
  type ModelSource,
  type RequestOptions,
} from '../../files/source';
import {createTokenizer, type Tokenizer, type TokenizerConfig} from './tokenizer';
import type {TokenizerJson} from './tokenizer_library';

/** Options of `loadTokenizer`. */
export interface LoadTokenizerOptions {
  /** For files behind a URL: `fetch`'s options, such as `headers` and `signal`, and `timeout` in milliseconds; default none. */
  request?: RequestOptions;
}

const OWNER = 'loadTokenizer';

/**
 * Reads a tokenizer of Hugging Face: `tokenizer.json`, and if they are there `tokenizer_config.json`
 * and `chat_template.jinja`, which wins over the template in `tokenizer_config.json`.
 *
 * @param source The path of their folder (Node only), its http(s) URL, or the files by name.
 * @throws if `tokenizer.json` is missing, or if a file is not what it should be.
 */
export async function loadTokenizer(
  source: ModelSource,
  options: LoadTokenizerOptions = {},
): Promise<Tokenizer> {
  checkKnown(OWNER, options, ['request']);
  const files = openSource(OWNER, source, options.request);

  const json = await readJson<TokenizerJson>(files, 'tokenizer.json');
  if (json === null) {
    throw new Error(
      `${OWNER}: there is no tokenizer.json in ${files.name}; a tokenizer that has only tokenizer.model ` +
        "or vocab.json must first be loaded and saved with transformers' AutoTokenizer",
    );
  }
  const config = (await readJson<TokenizerConfig>(files, 'tokenizer_config.json')) ?? {};
  const templateFile = await readFile(files, 'chat_template.jinja');
  const template = templateFile ? new TextDecoder().decode(templateFile) : defaultTemplate(config);

  // imported here, so that only programs that load a tokenizer load the libraries
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

async function readFile(files: FileSource, name: string): Promise<Uint8Array | null> {
  return readWhole(OWNER, files, name, MAX_JSON_BYTES);
}

/** Null if there is no such file. */
async function readJson<T extends object>(files: FileSource, name: string): Promise<T | null> {
  const bytes = await readFile(files, name);
  // what a field holds is checked where it is used, most of it by the library
  return bytes === null ? null : (parseJsonObject(`${OWNER}: ${name}`, bytes) as T);
}

/** The chat template; if there are several, the one named `default`. */
function defaultTemplate({chat_template: template}: TokenizerConfig): string | null {
  if (template === undefined || typeof template === 'string') return template ?? null;
  return template.find(({name}) => name === 'default')?.template ?? null;
}
