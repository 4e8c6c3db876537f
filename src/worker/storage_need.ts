/** What a run keeps in the browser's storage. */
import {freeStorage} from '../files/handle_folder';
import type {ResolvedConfig} from '../llama/config';
import {numbersIn, sizesOfModel} from '../memory/estimate/sizes';
import {paperMethods, type MethodParts} from '../methods';
import type {EstimatedMemory, StorageNeed} from './events';
import {filesOf} from './run_store';
import type {Settings} from './settings';

const FLOAT = 4;

/**
 * What a run with these settings keeps at most; null if it keeps nothing.
 *
 * @param estimate Of what the training takes.
 */
export async function storageNeed(
  {model, data, method, run}: Settings,
  config: ResolvedConfig,
  {parts: {state}}: EstimatedMemory,
): Promise<StorageNeed | null> {
  if (run === null) return null;
  const {blocks, vocabulary, others} = sizesOfModel('inspectInWorker', config)!;
  const {lora = false}: MethodParts = paperMethods[method];
  const weights = FLOAT * numbersIn([...blocks.flat(), ...vocabulary, ...others]);
  // the state has two moments of adapters, which are weights, too
  const checkpoint = weights + state + (lora ? state / 2 : 0);
  const copied = typeof model === 'string' ? [] : [...(await filesOf(model)).values()];
  const texts = Object.values(data).map((file) => new Blob([file]));
  const files = [...copied, ...texts].reduce((sum, {size}) => sum + size, 0);
  const kept = files + checkpoint;
  return {kept, peak: kept + checkpoint, saved: weights, free: await freeStorage()};
}
