/** A model as one GGUF file, for llama.cpp, Ollama and whatever else is made of them. */
import type * as tfl from '@tensorflow/tfjs-layers';
import {checkChoice, checkKnown} from '../../../common/options';
import {mapSource} from '../../../files/map_source';
import type {ModelTarget} from '../../../files/sink';
import type {ModelSource} from '../../../files/source';
import {openLlama} from '../load_llama';
import {configOfModel} from '../model_config';
import {openNamedSource, type SourceOptions} from '../named_source';
import {originOf} from '../origin';
import {readPieces} from '../tensor_reader';
import {valuePieces} from '../tensor_writer';
import {storedWeights} from '../weights';
import {defaultGgufDtype, ggufDtypes, planGguf, writeGguf, type GgufDtype} from './write_gguf';

/** Options of `saveGguf`. */
export interface SaveGgufOptions {
  /**
   * The type of the matrices; default `'BF16'` for a model whose files have it, otherwise `'F16'`. `'Q8_0'` takes about half the bytes of
   * these: blocks of 32 values, each an integer of 8 bits times the scale of its block; a matrix whose rows are no multiple of 32 is
   * stored as F16. Norms and biases are F32 always.
   */
  dtype?: GgufDtype;
  /** The tokenizer's files, as `loadTokenizer` takes them; default: those that came with the model. */
  tokenizer?: ModelSource;
}

const OWNER = 'saveGguf';

/**
 * Saves a model of `loadLlama` or `createLlama` as a GGUF file of version 3, with its tokenizer and chat template, as llama.cpp's converter
 * writes it.
 *
 * Weights are written some rows at a time. The file takes the place of an older one only when it is complete; if anything fails, the
 * older one stays.
 *
 * ```ts
 * await saveGguf(model, 'model.gguf', {dtype: 'Q8_0'});
 * ```
 *
 * @param target The path of a file (in Node), in a folder that is there; a `FileSystemDirectoryHandle`, or a map; these take the
 *   file as `model.gguf`.
 * @throws Error if an option is unknown or wrong, if the model is not one of `createLlama` or `loadLlama`, or if a GGUF file cannot say what
 *   the model or its tokenizer does; then nothing was written. Error if a weight is not finite, or too large for `dtype`.
 */
export async function saveGguf(
  model: tfl.LayersModel,
  target: ModelTarget,
  options: SaveGgufOptions = {},
): Promise<void> {
  checkKnown(OWNER, options, ['dtype', 'tokenizer']);
  const origin = originOf(model);
  const {dtype = defaultGgufDtype(origin?.dtype), tokenizer} = options;
  checkChoice(OWNER, 'dtype', dtype, ggufDtypes);
  const config = configOfModel(OWNER, model);
  if (tokenizer === undefined && !origin?.files.has('tokenizer.json')) {
    throw new Error(
      `${OWNER}: the model came without tokenizer.json; give the option tokenizer, a folder or files with one`,
    );
  }
  const files = await openNamedSource(OWNER, tokenizer ?? origin!.files, {});
  const ownFiles = origin && mapSource(OWNER, origin.files);
  const plan = await planGguf(OWNER, {...origin, config, files, ownFiles}, dtype);
  const stored = storedWeights(OWNER, model, config);
  const weights = new Map(stored.map((weight) => [weight.name, weight]));
  await writeGguf(OWNER, plan, (name) => valuePieces(weights.get(name)!), target);
}

const EXPORT = 'export';

/** Options of `exportGguf`. */
export interface ExportGgufOptions extends SourceOptions {
  /** As of `saveGguf`. */
  dtype?: GgufDtype | undefined;
  /** Called with the bytes of the file when all but the weights is known, before anything is written, and awaited; default none. */
  onPlanned?: (size: number) => unknown;
  /** Called after each weight with the bytes of weights read so far, and of all, and awaited; default none. */
  onProgress?: (bytes: number, total: number) => unknown;
}

/**
 * Saves a model that is in files as a GGUF file, as `saveGguf` does; of its weights there are never more than some rows in memory.
 *
 * @returns The type of the matrices, and the bytes of the file.
 * @throws as `loadLlama` and `saveGguf`.
 */
export async function exportGguf(
  source: ModelSource,
  target: ModelTarget,
  {dtype: wanted, onPlanned, onProgress, ...options}: ExportGgufOptions = {},
): Promise<{dtype: GgufDtype; size: number}> {
  const {config, tensors, origin, close} = await openLlama(source, options);
  try {
    const dtype = wanted ?? defaultGgufDtype(origin.dtype);
    const files = mapSource(EXPORT, origin.files);
    const plan = await planGguf(EXPORT, {...origin, config, files}, dtype);
    await onPlanned?.(plan.size);
    const bytesOf = ({from, to}: {from: number; to: number}): number => to - from;
    const total = [...tensors.values()].reduce((sum, tensor) => sum + bytesOf(tensor), 0);
    let done = 0;
    async function* valuesOf(name: string): AsyncGenerator<Float32Array> {
      const tensor = tensors.get(name)!;
      for await (const {values} of readPieces(tensor)) yield values;
      done += bytesOf(tensor);
      await onProgress?.(done, total);
    }
    await writeGguf(EXPORT, plan, valuesOf, target);
    return {dtype, size: plan.size};
  } finally {
    await close();
  }
}
