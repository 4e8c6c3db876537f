import type * as tfl from '@tensorflow/tfjs-layers';
import type {ModelSource} from '../files/source';
import {cut} from '../common/options';
import {readAdapters} from './adapter_files';
import {adapt, checkModel, type Lora} from './lora';
import {resolveLoraOptions} from './lora_options';
import {matricesOf} from './matrices';

const OWNER = 'loadLora';

/**
 * Adapts a model by adapters in peft's format, its own or those of `Lora.save`: `applyLora` with the rank, alpha and dropout
 * that `adapter_config.json` has, for the matrices that `adapter_model.safetensors` has, and with their values.
 *
 * @param source A folder (in Node), the URL of one, or files by name.
 * @returns What merges, saves and removes the adapters, see `applyLora`.
 * @throws Error if a file is missing or damaged, if the adapters are of another kind than LoRA's own (DoRA, rsLoRA, with biases or
 *   with other ranks for some matrices: it names the key), or of another model or shape. The model is then unchanged.
 */
export async function loadLora(model: tfl.LayersModel, source: ModelSource): Promise<Lora> {
  checkModel(OWNER, model);
  const {tensors, options} = await readAdapters(OWNER, source);
  const matrices = matricesOf(model);
  const isKnown = (module: string): boolean => matrices.some((matrix) => matrix.module === module);
  const other = [...tensors.keys()].find((module) => !isKnown(module));
  if (other !== undefined) {
    throw new Error(
      `${OWNER}: the adapters are of another model: '${other}' is no matrix of this one that can be adapted. Matrices: ` +
        cut(matrices.map(({module}) => module).join(', ')),
    );
  }
  const resolved = resolveLoraOptions(OWNER, {...options, targets: [...tensors.keys()]});
  const adapted = matrices.filter(({module}) => tensors.has(module));
  const lora = adapt(OWNER, model, adapted, resolved);
  try {
    lora.assign(OWNER, tensors, options);
  } catch (error) {
    lora.remove();
    throw error;
  }
  return lora;
}
