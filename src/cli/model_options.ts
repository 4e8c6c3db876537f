/** The options of all commands that load a model, and how it is loaded. */
import type {LlamaOutline, LoadedLlama, LoadLlamaOptions, Tokenizer} from '../llama/index';
import {loadLlama, loadTokenizer} from '../llama/index';
import type {ResolvedConfig} from '../llama/config';
import type {JsonObject} from '../files/json';
import {readConfigJson} from '../llama/files/config_json';
import {
  GENERATION_CONFIG,
  openGenerationConfig,
  type GenerationConfig,
} from '../llama/files/generation_config';
import {frozenDtypeChoices, readModelConfig} from '../llama/files/load_llama';
import {originOf, setOrigin} from '../llama/files/origin';
import {checkFits} from '../lora/adapter_files';
import {mergeAdapters} from '../lora/load_lora';
import {adaptableMatrices, sizesOfModel} from '../memory/estimate/sizes';
import {locateModel, mergingBytes, type FoundAdapter, type LocatedModel} from './adapter';
import {backendNames, type BackendName} from './register_backend';
import type {Context} from './command';
import {
  adapterSource,
  choice,
  file,
  group,
  modelSource,
  number,
  required,
  type SettingsOf,
} from './options';
import {matmulPrecisions, type MatmulPrecision} from './matmul_precision';
import {threadRange} from '../kernels/wasm/thread_count';
import {bytesText, memoryLimit, weightBytes} from '../memory/limit';
import {countMegabytes, type Progress} from './progress';
import {asUsage, UsageError} from './usage_error';
import {readUtf8} from './utf8_file';
import {writingOrder, type Writing} from './writing_backend';

/** Which model, and the backend that computes. */
export const modelOptions = group('Model', {
  model: required(
    modelSource(
      "a model of Hugging Face's transformers: its folder, a .safetensors file in one, its URL, or its name on the Hub, as owner/name@revision; a GGUF file or its URL; or an adapter that names its model",
    ),
  ),
  adapter: adapterSource(
    'a LoRA adapter of peft for the model: its folder, or its name on the Hub',
  ),
  chatTemplate: file(
    'a chat template, in Jinja, in the place of that of the model: for one that has none',
  ),
  backend: choice<BackendName | 'auto', 'auto'>(
    'the backend that computes',
    ['auto', ...backendNames],
    'auto',
  ),
  threads: number(
    'threads on which wasm computes, with the same results on any number; default: the processors that the process may use, at most 8',
    {default: undefined, ...threadRange},
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
export interface OpenedModel extends LocatedModel {
  /** `config.json`, as it is and as it was understood; whether the head is the embedding may turn out with the weights. */
  configJson: JsonObject;
  config: ResolvedConfig;
  tokenizer: Tokenizer;
  /** That of `--chat-template`. */
  chatTemplate: string | undefined;
}

/** Finds the model and its adapter, see {@link locateModel}. */
export async function locate(
  settings: Parameters<typeof locateModel>[0],
  context: Context,
): Promise<LocatedModel> {
  return withDownloads(context, (onDownload) => locateModel(settings, context, {onDownload}));
}

/**
 * Reads `config.json` and the tokenizer of a model, and its adapter; of one of the Hub, nothing else is downloaded.
 *
 * @throws UsageError if the adapter is of another model.
 */
export async function openModel(
  settings: Settings,
  context: Context,
  located?: LocatedModel,
): Promise<OpenedModel> {
  const {chatTemplate: path} = settings;
  const chatTemplate = path === undefined ? undefined : asUsage(() => readUtf8(path));
  const {source, adapter} = located ?? (await locate(settings, context));
  const described = await describeModel({source, adapter}, context);
  const files = adapter && adapter.files.size > 0 ? adapter.files : source;
  const tokenizer = await withDownloads(context, (onDownload) =>
    loadTokenizer(files, {onDownload, chatTemplate}),
  );
  return {source, adapter, ...described, tokenizer, chatTemplate};
}

/** Reads the `config.json` of a model alone, and checks that its adapter is for it, as {@link openModel}. */
export async function describeModel(
  {source, adapter}: LocatedModel,
  context: Context,
): Promise<Pick<OpenedModel, 'configJson' | 'config'>> {
  const configJson = await withDownloads(context, (onDownload) =>
    readModelConfig('loadLlama', source, {onDownload}),
  );
  const config = readConfigJson('loadLlama: config.json', configJson);
  if (adapter) checkAdapter(adapter, config);
  return {configJson, config};
}

function checkAdapter(adapter: FoundAdapter, config: ResolvedConfig): void {
  const matrices = adaptableMatrices(sizesOfModel('loadLlama', config)!);
  asUsage(() => checkFits(adapter.called, adapter, matrices));
}

/** How an opened model is to be drawn from by its own files, of which no more is read for that. */
export async function openRecommended(
  {source, configJson, config: {vocabSize}}: OpenedModel,
  context: Context,
): Promise<GenerationConfig> {
  return withDownloads(context, (onDownload) =>
    openGenerationConfig('loadLlama', source, {configJson, vocabSize}, {onDownload}),
  );
}

/**
 * Loads an opened model on the backend that is wanted; the caller disposes of it.
 *
 * @param writing What is to be written with it, for the choice of a backend.
 */
export async function loadModel(
  settings: Settings,
  {tokenizer, ...located}: OpenedModel,
  context: Context,
  options?: Pick<LoadLlamaOptions, 'headInLoss' | 'frozenDtype'>,
  writing?: Writing,
): Promise<Loaded> {
  return {...(await loadModelAlone(settings, located, context, options, writing)), tokenizer};
}

/**
 * Loads a model with its adapter in it, and without its tokenizer, which its folder need not have.
 *
 * @throws UsageError before any weight is read if they cannot fit into memory, unless `force` is true.
 */
export async function loadModelAlone(
  {backend: wanted, force}: Pick<Settings, 'backend'> & {force?: boolean},
  {source, adapter}: LocatedModel,
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
        if (adapter) checkAdapter(adapter, outline.config);
        checkWeights(outline, {backend, force, adapter, ...options}, context);
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
  const what = adapter ? `${source} with ${adapter.source}` : source;
  console.note(`${what}: ${parameters} parameters, on ${backend}`);
  if (!adapter) return {...loaded, backend: backend!};
  try {
    mergeAdapters(adapter.called, loaded.model, adapter);
  } catch (error) {
    loaded.model.dispose();
    throw error;
  }
  return withTokenizerOf({...loaded, backend: backend!}, adapter);
}

/** A model whose tokenizer is the one that came with an adapter, if there is one, also where the model is saved. */
export function withTokenizerOf(loaded: LoadedModel, adapter: FoundAdapter | null): LoadedModel {
  if (!adapter || adapter.files.size === 0) return loaded;
  const {model} = loaded;
  const others = [...loaded.files].filter(([name]) => name === GENERATION_CONFIG);
  const files = new Map([...others, ...adapter.files]);
  setOrigin(model, {...originOf(model)!, files});
  return {...loaded, files};
}

/** Only wasm has no more memory than that for certain; elsewhere a system may use its disk. */
function checkWeights(
  outline: LlamaOutline,
  {
    backend,
    frozenDtype,
    adapter,
    force = false,
  }: {
    backend: BackendName;
    adapter: FoundAdapter | null;
    force?: boolean | undefined;
  } & Pick<LoadLlamaOptions, 'frozenDtype'>,
  {console, given}: Context,
): void {
  const limit = memoryLimit(backend);
  const bytesAs = (dtype: typeof frozenDtype): number => {
    const bytes = weightBytes(outline, dtype);
    return bytes + (adapter ? mergingBytes(adapter, 4 * outline.numbers - bytes) : 0);
  };
  const bytes = bytesAs(frozenDtype);
  if (!limit || bytes <= limit.bytes) return;
  const weights = adapter ? 'its weights and the adapter' : 'its weights';
  const what = `${weights} take ${bytesText(bytes)}, and ${limit.what} is ${bytesText(limit.bytes)}`;
  if (force || backend !== 'wasm') {
    console.note(`${given.get('model')!}: ${what}: it may not fit`);
    return;
  }
  const canBeHalf = frozenDtype !== undefined && bytesAs('BF16') <= limit.bytes;
  throw new UsageError(
    `${given.get('model')!} cannot be loaded: ${what}; take another --backend${canBeHalf ? ' or --frozen-dtype BF16' : ''}`,
  );
}

/** Runs `body`, which may download a model, with a progress bar for each file. */
export function withDownloads<T>(
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
