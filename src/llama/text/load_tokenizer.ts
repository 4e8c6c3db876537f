import {checkKnown, display} from '../../common/options';
import {
  decodeUtf8,
  isObject,
  MAX_JSON_BYTES,
  parseJsonObject,
  show,
  type JsonObject,
} from '../../files/json';
import {readWhole, type FileSource, type ModelSource} from '../../files/source';
import {openNamedSource, type SourceOptions} from '../files/named_source';
import {TEMPLATE_FILE} from '../files/origin';
import {checkTokenizerJson} from './check_tokenizer_json';
import {areKnownPatterns} from './known_patterns';
import {reasonOf} from './reason';
import {createTimeLimit} from './time_limit';
import {createTokenizer, NAMED_TOKENS, type Tokenizer, type TokenizerConfig} from './tokenizer';

/** Options of `loadTokenizer`. */
export interface LoadTokenizerOptions extends SourceOptions {
  /** A chat template, in Jinja, in the place of that of the files; default: theirs. */
  chatTemplate?: string | undefined;
}

const OWNER = 'loadTokenizer';
const CONFIG_FILE = 'tokenizer_config.json';

/**
 * Reads a tokenizer of Hugging Face: `tokenizer.json`, and if they are there `tokenizer_config.json`
 * and `chat_template.jinja`, which wins over the template in `tokenizer_config.json`.
 *
 * @param source As of `loadLlama`.
 * @throws if `tokenizer.json` is missing, or if a file is not what it should be.
 */
export async function loadTokenizer(
  source: ModelSource,
  options: LoadTokenizerOptions = {},
): Promise<Tokenizer> {
  checkKnown(OWNER, options, ['request', 'onDownload', 'chatTemplate']);
  const {chatTemplate: given} = options;
  if (given !== undefined && typeof given !== 'string') {
    throw new Error(`${OWNER}: chatTemplate must be a text; got ${display(given)}`);
  }
  const files = await openNamedSource(OWNER, source, options);
  return makeTokenizer(await readTokenizer(files, given));
}

/** What the files of a tokenizer say. */
export interface TokenizerContents {
  /** `tokenizer.json`, which is checked when a tokenizer is made of it. */
  json: JsonObject;
  config: TokenizerConfig;
  /** The chat template, null if there is none. */
  template: string | null;
}

/**
 * @param given A chat template in the place of that in the files.
 * @throws if `tokenizer.json` is missing, or if a file is not what it should be.
 */
export async function readTokenizer(files: FileSource, given?: string): Promise<TokenizerContents> {
  const json = await readJson(files, 'tokenizer.json');
  if (json === null) {
    throw new Error(
      `${OWNER}: there is no tokenizer.json in ${files.name}; a tokenizer that has only tokenizer.model ` +
        "or vocab.json must first be loaded and saved with transformers' AutoTokenizer",
    );
  }
  const config = readConfig((await readJson(files, CONFIG_FILE)) ?? {});
  const templateFile = given === undefined ? await readFile(files, TEMPLATE_FILE) : null;
  const template =
    given ??
    (templateFile
      ? decodeUtf8(`${OWNER}: ${TEMPLATE_FILE}`, templateFile)
      : defaultTemplate(config));
  return {json, config, template};
}

/** @throws if `tokenizer.json` cannot be used. */
export async function makeTokenizer({
  json,
  config,
  template,
}: TokenizerContents): Promise<Tokenizer> {
  // imported here, so that only programs that load a tokenizer load the libraries
  const [{createLibraryTokenizer}, {compileChatTemplate}, {checkPatterns}] = await Promise.all([
    import('./tokenizer_library'),
    import('./chat_template'),
    import('./check_patterns'),
  ]);
  const chatTemplate = template === null ? null : compileChatTemplate(template);
  try {
    checkTokenizerJson(json);
    const parts = {json, config, chatTemplate, createLibraryTokenizer};
    const {model, normalizer, pre_tokenizer, decoder} = json;
    // models other than BPE take the square of the length of a word, or of their longest token
    if (model.type === 'BPE' && areKnownPatterns([normalizer, pre_tokenizer, decoder])) {
      return createTokenizer(parts);
    }
    const limitTime = await createTimeLimit();
    return createTokenizer({...parts, ...(limitTime ? {limitTime} : {checkPatterns})});
  } catch (cause) {
    const reason = reasonOf(cause, 'the tokenizer of a model that you trust');
    throw new Error(
      `${OWNER}: tokenizer.json cannot be used: ${reason}; save it anew with transformers' AutoTokenizer`,
      {cause},
    );
  }
}

async function readFile(files: FileSource, name: string): Promise<Uint8Array | null> {
  return readWhole(OWNER, files, name, MAX_JSON_BYTES);
}

/** Null if there is no such file. */
async function readJson(files: FileSource, name: string): Promise<JsonObject | null> {
  const bytes = await readFile(files, name);
  return bytes === null ? null : parseJsonObject(`${OWNER}: ${name}`, bytes);
}

/** The fields of `tokenizer_config.json` that are read, if they are what they should be. */
function readConfig(json: JsonObject): TokenizerConfig {
  const check = (name: string, what: string, isRight: (value: unknown) => boolean): void => {
    const value = json[name];
    if (value === undefined || value === null || isRight(value)) return;
    throw new Error(`${OWNER}: ${CONFIG_FILE}: ${name} must be ${what}; got ${show(value)}`);
  };
  const isText = (value: unknown): boolean => typeof value === 'string';
  const isToken = (value: unknown): boolean =>
    isText(value) || (isObject(value) && isText(value['content']));
  for (const name of NAMED_TOKENS)
    check(name, 'a token, as a text or as {"content": "…"}', isToken);
  for (const name of ['add_bos_token', 'add_eos_token']) {
    check(name, 'true or false', (value) => typeof value === 'boolean');
  }
  const isTemplate = (value: unknown): boolean =>
    isObject(value) && isText(value['name']) && isText(value['template']);
  check(
    'chat_template',
    'a template, or a list of {"name": "…", "template": "…"}',
    (value) => isText(value) || (Array.isArray(value) && value.every(isTemplate)),
  );
  return json;
}

/** The chat template; if there are several, the one named `default`. */
function defaultTemplate({chat_template: template}: TokenizerConfig): string | null {
  if (!Array.isArray(template)) return template ?? null;
  return template.find(({name}) => name === 'default')?.template ?? null;
}
