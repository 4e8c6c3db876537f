/** The options of all commands that load a model, and how it is loaded. */
import type {LlamaOutline, LoadedLlama, LoadLlamaOptions, Tokenizer} from '../llama/index';
import {loadLlama, loadTokenizer} from '../llama/index';
import type {ResolvedConfig} from '../llama/config';
import type {JsonObject} from '../files/json';
import {readConfigJson} from '../llama/files/config_json';
import {frozenDtypeChoices, readModelConfig} from '../llama/files/load_llama';
import {backendNames, type BackendName} from './register_backend';
import type {Context} from './command';
import {choice, group, modelSource, required, type SettingsOf} from './options';
import {matmulPrecisions, type MatmulPrecision} from './matmul_precision';
import {bytesText, memoryLimit, weightBytes} from '../memory/limit';
import {countMegabytes, type Progress} from './progress';
import {UsageError} from './usage_error';
import {writingOrder, type Writing} from './writing_backend';

/** Which model, and the backend that computes. */
export const modelOptions = group('Model', {
  model: required(
    modelSource(
      "a model of Hugging Face's transformers: its folder, a .safetensors file in one, its URL, or its name on the Hub, as owner/name@revision; or a GGUF file or its URL",
    ),
  ),
  backend: choice<BackendName | 'auto', 'auto'>(
    'the backend that computes',
    ['auto', ...backendNames],
    'auto',
  ),
  matmulPrecision: choice<MatmulPrecision, 'highest'>(
    'how exactly tensorflow multiplies float32; medium rounds to bfloat16, about twice as fast on processors with AMX',
    matmulPrecisions,
    'highest',
  ),
});

/** The same, with how weights are kept, for commands that write texts. */
export const writerOptions = {
  ...modelOptions,
  ...group('Model', {
    frozenDtype: choice<(typeof frozenDtypeChoices)[number], 'auto'>(
      'number type of matrices in memory; BF16 takes half of it; auto: on wasm BF16 where the files have it, which is as exact and faster',
      frozenDtypeChoices,
      'auto',
    ),
  }),
};

/** A model on a backend. */
export interface LoadedModel extends LoadedLlama {
  backend: BackendName;
}

/** The same with its tokenizer. */
export interface Loaded extends LoadedModel {
  tokenizer: Tokenizer;
}

type Settings = SettingsOf<typeof modelOptions>;

/** What is read of a model before its weights are: what options and data must fit. */
export interface OpenedModel {
  /** `config.json`, as it is and as it was understood; whether the head is the embedding may turn out with the weights. */
  configJson: JsonObject;
  config: ResolvedConfig;
  tokenizer: Tokenizer;
}

/** Reads `config.json` and the tokenizer of a model; of one of the Hub, nothing else is downloaded. */
export async function openModel({model: source}: Settings, context: Context): Promise<OpenedModel> {
  return withDownloads(context, async (onDownload) => {
    const configJson = await readModelConfig('loadLlama', source, {onDownload});
    const config = readConfigJson('loadLlama: config.json', configJson);
    return {configJson, config, tokenizer: await loadTokenizer(source, {onDownload})};
  });
}

/**
 * Loads an opened model on the backend that is wanted; the caller disposes of it.
 *
 * @param writing What is to be written with it, for the choice of a backend.
 */
export async function loadModel(
  settings: Settings,
  {tokenizer}: OpenedModel,
  context: Context,
  options?: Pick<LoadLlamaOptions, 'headInLoss' | 'frozenDtype'>,
  writing?: Writing,
): Promise<Loaded> {
  return {...(await loadModelAlone(settings, context, options, writing)), tokenizer};
}

/**
 * Loads a model without its tokenizer, which its folder need not have.
 *
 * @throws UsageError before any weight is read if they cannot fit into memory, unless `force` is true.
 */
export async function loadModelAlone(
  {model: source, backend: wanted, force}: Settings & {force?: boolean},
  context: Context,
  options: Pick<LoadLlamaOptions, 'headInLoss' | 'frozenDtype'> = {},
  writing?: Writing,
): Promise<LoadedModel> {
  const {console} = context;
  // which one writes sooner is known when the model is
  const isLater = wanted === 'auto' && writing !== undefined;
  let backend: BackendName | undefined = isLater ? undefined : await context.selectBackend(wanted);
  let progress: Progress | undefined;
  const loaded = await withDownloads(context, (onDownload) =>
    loadLlama(source, {
      ...options,
      onDownload,
      onOpened: async (outline) => {
        const order = writing && writingOrder(outline, options.frozenDtype, writing);
        backend ??= await context.selectBackend(wanted, order);
        checkWeights(outline, {backend, force, ...options}, context);
      },
      onProgress: (bytes, total) => {
        progress ??= console.progress({label: `loading ${source}`, total, count: countMegabytes});
        progress.update(bytes);
      },
    }),
  );
  progress?.end();
  const parameters = loaded.model
    .countParams()
    .toLocaleString('en', {notation: 'compact', maximumSignificantDigits: 3});
  console.note(`${source}: ${parameters} parameters, on ${backend}`);
  return {...loaded, backend: backend!};
}

/** Only wasm has no more memory than that for certain; elsewhere a system may use its disk. */
function checkWeights(
  outline: LlamaOutline,
  {
    backend,
    frozenDtype,
    force = false,
  }: {backend: BackendName; force?: boolean | undefined} & Pick<LoadLlamaOptions, 'frozenDtype'>,
  {console, given}: Context,
): void {
  const limit = memoryLimit(backend);
  const bytes = weightBytes(outline, frozenDtype);
  if (!limit || bytes <= limit.bytes) return;
  const what = `its weights take ${bytesText(bytes)}, and ${limit.what} is ${bytesText(limit.bytes)}`;
  if (force || backend !== 'wasm') {
    console.note(`${given.get('model')!}: ${what}: it may not fit`);
    return;
  }
  const canBeHalf = frozenDtype !== undefined && weightBytes(outline, 'BF16') <= limit.bytes;
  throw new UsageError(
    `${given.get('model')!} cannot be loaded: ${what}; take another --backend${canBeHalf ? ' or --frozen-dtype BF16' : ''}`,
  );
}

/** Runs `body`, which may download a model, with a progress bar for each file. */
function withDownloads<T>(
  {console}: Context,
  body: (onDownload: NonNullable<LoadLlamaOptions['onDownload']>) => Promise<T>,
): Promise<T> {
  let shown: {file: string; progress: Progress} | undefined;
  const onDownload = (file: string, bytes: number, total: number): void => {
    if (shown?.file !== file) {
      const label = `downloading ${file}`;
      const progress = console.progress({label, total, done: bytes, count: countMegabytes});
      shown = {file, progress};
    }
    shown.progress.update(bytes);
    if (bytes === total) shown.progress.end();
  };
  return body(onDownload);
}
