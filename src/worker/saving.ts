/** The files of a trained model. */
import {checkChoice} from '../common/options';
import {openSink} from '../files/open_sink';
import {writeFile, type ModelTarget} from '../files/sink';
import {adapterCard} from '../llama/files/adapter_card';
import {saveGguf, saveLlama, type ModelCard} from '../llama/index';
import type {Begun} from './begin';
import {asBadOption, FineTuningError} from './errors';
import {merged} from './model';
import {saveForms, type SaveForm} from './options';
import {filesIn, type RunStore} from './run_store';

/**
 * The model as it is, as files: views of the browser's storage, or without a store in memory.
 *
 * @param card Of a folder, and of an adapter.
 */
export async function saveModel(
  begun: Begun,
  form: SaveForm,
  store: RunStore | null,
  card: ModelCard,
): Promise<Map<string, Blob>> {
  asBadOption(() => checkChoice('save', 'form', form, saveForms));
  if (store) {
    const folder = await store.saved(form);
    await write(begun, form, folder, card);
    return filesIn(folder);
  }
  const files = new Map<string, Uint8Array>();
  await write(begun, form, files, card);
  return new Map(
    [...files].map(([name, bytes]) => [name, new Blob([bytes as Uint8Array<ArrayBuffer>])]),
  );
}

async function write(
  {loaded: {model, dtype, hubName}, method}: Begun,
  form: SaveForm,
  target: ModelTarget,
  card: ModelCard,
): Promise<void> {
  if (form !== 'adapter') {
    await merged<unknown>(method, () =>
      form === 'gguf' ? saveGguf(model, target) : saveLlama(model, target, {dtype, card}),
    );
    return;
  }
  if (!method.lora)
    throw new FineTuningError(
      'bad-option',
      "save: only a training by the method 'lora' has an adapter; save 'safetensors' or 'gguf'",
    );
  const [baseModel, revision] = hubName?.split('@') ?? [];
  const base = {...(baseModel && {baseModel})};
  await method.lora.save(target, {...base, ...(revision && {revision})});
  const [path, bytes] = adapterCard(model, {...card, ...base});
  const sink = openSink('save', target);
  await writeFile(sink, path, bytes.length, [bytes]);
  await sink.commit(() => false);
}
