/** The options of all commands that load a model, and how it is loaded. */
import type {LoadedLlama, LoadLlamaOptions, Tokenizer} from '../llama/index';
import {loadLlama, loadTokenizer} from '../llama/index';
import {backendNames, type BackendName} from './register_backend';
import type {Context} from './command';
import {choice, folderOrUrl, group, required, type SettingsOf} from './options';
import {countMegabytes, type Progress} from './progress';

/** Which model, and the backend that computes. */
export const modelOptions = group('Model', {
  model: required(folderOrUrl("a model of Hugging Face's transformers: its folder, or URL")),
  backend: choice<BackendName | 'auto', 'auto'>(
    'the backend that computes',
    ['auto', ...backendNames],
    'auto',
  ),
});

/** A model on a backend. */
export interface LoadedModel extends LoadedLlama {
  backend: BackendName;
}

/** The same with its tokenizer. */
export interface Loaded extends LoadedModel {
  tokenizer: Tokenizer;
}

type Settings = SettingsOf<typeof modelOptions>;

/** Loads model and tokenizer on the backend that is wanted; the caller disposes of the model. */
export async function loadModel(
  settings: Settings,
  context: Context,
  options?: Pick<LoadLlamaOptions, 'headInLoss' | 'frozen'>,
): Promise<Loaded> {
  const tokenizer = await loadTokenizer(settings.model);
  return {...(await loadModelAlone(settings, context, options)), tokenizer};
}

/** Loads a model without its tokenizer, which its folder need not have. */
export async function loadModelAlone(
  {model: source, backend: wanted}: Settings,
  {console, selectBackend}: Context,
  options: Pick<LoadLlamaOptions, 'headInLoss' | 'frozen'> = {},
): Promise<LoadedModel> {
  const backend = await selectBackend(wanted);
  let progress: Progress | undefined;
  const loaded = await loadLlama(source, {
    ...options,
    onProgress: (bytes, total) => {
      progress ??= console.progress({label: `loading ${source}`, total, count: countMegabytes});
      progress.update(bytes);
    },
  });
  progress?.end();
  const parameters = loaded.model
    .countParams()
    .toLocaleString('en', {notation: 'compact', maximumSignificantDigits: 3});
  console.note(`${source}: ${parameters} parameters, on ${backend}`);
  return {...loaded, backend};
}
