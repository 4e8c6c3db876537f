import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {openSource} from '../files/open_source';
import type {ModelSource} from '../files/source';
import {addProduct} from './adapter';
import {checkFits, readAdapters, type AdapterFiles} from './adapter_files';
import {adapt, checkModel, type Lora} from './lora';
import {resolveLoraOptions} from './lora_options';
import {matricesOf, type Matrix} from './matrices';

const OWNER = 'loadLora';

/**
 * Adapts a model by adapters in peft's format, its own or those of `Lora.save`: `applyLora` with the rank, alpha and dropout
 * that `adapter_config.json` has, for the matrices that `adapter_model.safetensors` has, and with their values. The alpha of rsLoRA is
 * taken times √rank, which is the same.
 *
 * @param source A folder (in Node), the URL or `FileSystemDirectoryHandle` of one, or files by name.
 * @returns What merges, saves and removes the adapters, see `applyLora`.
 * @throws Error if a file is missing or damaged, if the adapters are of another kind than LoRA's own (DoRA, with biases or
 *   with other ranks for some matrices: it names the key), or of another model or shape. The model is then unchanged.
 */
export async function loadLora(model: tfl.LayersModel, source: ModelSource): Promise<Lora> {
  checkModel(OWNER, model);
  const files = await readAdapters(OWNER, openSource(OWNER, source));
  checkModel(OWNER, model); // while files were read it may have got others
  const {tensors, options} = files;
  const matrices = matricesFor(OWNER, model, files);
  const resolved = resolveLoraOptions(OWNER, {...options, targets: [...tensors.keys()]});
  const lora = adapt(OWNER, model, matrices, resolved);
  try {
    lora.assign(OWNER, tensors, options);
  } catch (error) {
    lora.remove();
    throw error;
  }
  return lora;
}

/**
 * Puts adapters into a model's matrices for good, one after the other: no more than one of them is in memory twice.
 *
 * @throws Error as {@link loadLora}; the model is then unchanged.
 */
export function mergeAdapters(owner: string, model: tfl.LayersModel, files: AdapterFiles): void {
  checkModel(owner, model);
  const {tensors, options} = files;
  for (const {module, weight} of matricesFor(owner, model, files)) {
    const {A, B} = tensors.get(module)!;
    tf.tidy(() => {
      const [a, b] = [A, B].map(({values, shape}) => tf.tensor(values, shape)) as [
        tf.Tensor,
        tf.Tensor,
      ];
      addProduct(weight, a, b, options.alpha / options.rank);
    });
  }
}

/** The matrices of a model that adapters are for. */
function matricesFor(owner: string, model: tfl.LayersModel, files: AdapterFiles): Matrix[] {
  const all = matricesOf(model);
  const shapes = all.map(({module, weight}) => ({module, shape: weight.shape as number[]}));
  checkFits(owner, files, shapes);
  return all.filter(({module}) => files.tensors.has(module));
}
