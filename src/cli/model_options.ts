/** The options of all commands that load a model, and how it is loaded. */
import type {LoadedLlama, Tokenizer} from '../llama/index';
import {loadLlama, loadTokenizer} from '../llama/index';
import {backendNames, type BackendName} from './backend';
import type {Context} from './command';
import {choice, folderOrUrl, group, required, type SettingsOf} from './options';
import {countMegabytes, type Progress} from './progress';

/** Which model, and what computes. */
export const modelOptions = group('Model', {
  model: required(folderOrUrl("a model of Hugging Face's transformers: its folder, or URL")),
  backend: choice<BackendName | 'auto', 'auto'>('what computes', ['auto', ...backendNames], 'auto'),
});

/** A model with its tokenizer, on a backend. */
export interface Loaded extends LoadedLlama {
  tokenizer: Tokenizer;
  backend: BackendName;
}

/** Selects the backend and loads model and tokenizer; the caller disposes of the model. */
export async function loadModel(
  {model: source, backend: wanted}: SettingsOf<typeof modelOptions>,
  {console, selectBackend}: Pick<Context, 'console' | 'selectBackend'>,
  {headInLoss = false}: {headInLoss?: boolean} = {},
): Promise<Loaded> {
  const backend = await selectBackend(wanted);
  const tokenizer = await loadTokenizer(source);
  let progress: Progress | undefined;
  const loaded = await loadLlama(source, {
    headInLoss,
    onProgress: (bytes, total) => {
      progress ??= console.progress({label: `loading ${source}`, total, count: countMegabytes});
      progress.update(bytes);
    },
  });
  progress?.end();
  const millions = (loaded.model.countParams() / 1e6).toPrecision(3);
  console.note(`${source}: ${millions} million parameters, on ${backend}`);
  return {...loaded, tokenizer, backend};
}
