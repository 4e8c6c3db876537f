/** The number type in which a trained model is saved, where the user has not named one: that of its files, if that costs nothing. */
import type {FloatType} from '../files/float_type';
import {isObject} from '../files/json';
import {loadLlama, perplexity, saveLlama, type SaveLlamaOptions} from '../llama/index';
import {paperMethods, type MethodParts} from '../methods';
import {canPack} from '../model/packed_weight';
import type {Context} from './command';
import type {FinetuneSettings} from './finetune_options';
import {interruptible} from './finetune_training';
import type {LoadedModel} from './model_options';
import type {TrainingData} from './training_data';

/** How much higher the held-out loss of the rounded weights may be. */
const MAX_RISE = 0.005;

/** The type to begin with. A model with adapters merged into it is float32. */
export function dtypeToSave(
  {dtype, method}: Pick<FinetuneSettings, 'dtype' | 'method'>,
  ofFiles: FloatType,
): FloatType {
  const {lora = false}: MethodParts = paperMethods[method];
  return dtype ?? (ofFiles === 'BF16' && !lora ? 'BF16' : 'F32');
}

/** The type that `config.json` says of the files. */
export function dtypeIn(configJson: unknown): FloatType {
  const {dtype, torch_dtype: older} = isObject(configJson) ? configJson : {};
  return (dtype ?? older) === 'bfloat16' ? 'BF16' : 'F32';
}

/** A model as it was saved. */
export interface SavedModel {
  dtype: FloatType;
  /** The held-out loss of the rounded weights; null if it was not measured. */
  loss: number | null;
}

/**
 * Saves a trained model. In the type of its files it stays only if the held-out loss of what was saved is not higher by more than
 * {@link MAX_RISE}; otherwise it is saved as F32.
 *
 * @param loss The held-out loss before.
 */
export async function saveInOwnType(
  settings: FinetuneSettings,
  {model, dtype: ofFiles}: Pick<LoadedModel, 'model' | 'dtype'>,
  target: string,
  options: Pick<SaveLlamaOptions, 'card' | 'chatTemplate'>,
  loss: number,
  data: Pick<TrainingData, 'heldOut' | 'heldOutExamples'>,
  context: Context,
): Promise<SavedModel> {
  const dtype = dtypeToSave(settings, ofFiles);
  await saveLlama(model, target, {...options, dtype});
  if (settings.dtype !== undefined || dtype === 'F32') return {dtype, loss: null};
  const rounded = await heldOutLoss(target, data, context);
  const change = `held-out loss ${loss.toFixed(4)}, with the weights as ${dtype} ${rounded.toFixed(4)}`;
  if (rounded - loss <= MAX_RISE) {
    context.console.note(`${change}: the model is saved as ${dtype}, as it was`);
    return {dtype, loss: rounded};
  }
  context.console.note(
    `${change}, more than ${MAX_RISE} higher: the model is saved as F32; --dtype ${dtype} takes half of the disk`,
  );
  await saveLlama(model, target, {...options, dtype: 'F32'});
  return {dtype: 'F32', loss: null};
}

/** The held-out loss of a model in a folder, which is loaded beside the one that was trained, in half of the memory if that can be. */
async function heldOutLoss(
  folder: string,
  {heldOut, heldOutExamples}: Pick<TrainingData, 'heldOut' | 'heldOutExamples'>,
  {console}: Context,
): Promise<number> {
  const frozenDtype = canPack() ? 'BF16' : 'F32';
  const {model} = await loadLlama(folder, {headInLoss: true, frozenDtype});
  const progress = console.progress({label: 'measuring what was saved', total: heldOutExamples});
  try {
    const dataset = heldOut();
    const batches = interruptible(dataset, undefined, () => progress.update(dataset.report.used));
    return (await perplexity(model, batches)).loss;
  } finally {
    progress.end();
    model.dispose();
  }
}
