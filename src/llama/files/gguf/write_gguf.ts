/** A GGUF file that is written: all but the weights at once, then these piece by piece. */
import {isDirectoryHandle} from '../../../files/directory_handle';
import {fileSink} from '../../../files/file_sink';
import type {FloatType} from '../../../files/float_type';
import {MAX_JSON_BYTES, parseJsonObject, show} from '../../../files/json';
import {openSink} from '../../../files/open_sink';
import {writeFile, type ModelTarget} from '../../../files/sink';
import {readWhole, type FileSource} from '../../../files/source';
import {architectures} from '../../architectures';
import type {ResolvedConfig} from '../../config';
import {readTokenizer} from '../../text/load_tokenizer';
import type {Base} from '../model_card';
import type {Origin} from '../origin';
import {weightShapes} from '../weight_shapes';
import {generalKeys, MODEL} from './key_names';
import {divisorsOf} from './rope_freqs';
import {conversionOf, ggufName, type Conversion} from './tensor_names';
import {writableTypes, type WritableType} from './tensor_types';
import {ROPE_TENSOR} from './weights';
import {ggufModelOf} from './write_config';
import {
  bytesOfTensor,
  paddingAfter,
  serializeGgufHeader,
  type NewTensor,
  type TypedMetadata,
  type TypedValue,
} from './write_header';
import {tokenizerMetadata} from './write_tokenizer';

/** The type of the matrices in a GGUF file: 16 bits a number, or 8 with a scale for each 32 of them. */
export type GgufDtype = 'F16' | 'BF16' | 'Q8_0';

/** The numbers that llama.cpp has for such files. */
const fileTypes: Readonly<Record<GgufDtype, number>> = {F16: 1, BF16: 32, Q8_0: 7};
export const ggufDtypes = Object.keys(fileTypes) as readonly GgufDtype[];

/** The type for a model whose matrices have this one in its files. */
export function defaultGgufDtype(dtype: FloatType | undefined): GgufDtype {
  return dtype === 'BF16' ? 'BF16' : 'F16';
}

/** Of the blocks of quantized types. */
const QUANTIZATION_VERSION = 2;

/** The name of the file in a map or a folder. */
const FILE = 'model.gguf';
const GENERATION_FILE = 'generation_config.json';

/** What is known of a model without its weights. */
export interface ModelFiles extends Partial<Pick<Origin, 'configJson' | 'base'>> {
  config: ResolvedConfig;
  /** The tokenizer's. */
  files: FileSource;
  /** With the model's `generation_config.json`, if there is one; default {@link ModelFiles.files}. */
  ownFiles?: FileSource;
}

/** A tensor that is to be written: its values, or the weight that it is, as Hugging Face names it, and how that is converted. */
type PlannedTensor = NewTensor & ({values: Float32Array} | (Conversion & {weight: string}));

/** A file that is to be written, but for the weights. */
export interface GgufPlan {
  header: Uint8Array;
  tensors: readonly PlannedTensor[];
  /** Of the whole file, in bytes. */
  size: number;
}

/** @throws if a GGUF file cannot say what the model or its tokenizer does. */
export async function planGguf(
  owner: string,
  {config: given, configJson = {}, files, ownFiles = files, base}: ModelFiles,
  dtype: GgufDtype,
): Promise<GgufPlan> {
  const {config, metadata: ofModel} = ggufModelOf(owner, given);
  const {architecture, ropeScaling, vocabSize} = config;
  const generation = await readWhole(owner, ownFiles, GENERATION_FILE, MAX_JSON_BYTES);
  const more = generation && parseJsonObject(`${owner}: ${GENERATION_FILE}`, generation);
  const ofTokenizer = await tokenizerMetadata(owner, await readTokenizer(files), {
    vocabSize,
    ranksMergesById: architectures[architecture].gguf?.ranksMergesById ?? false,
    endIds: [configJson['eos_token_id'], more?.['eos_token_id']],
  });
  const metadata: TypedMetadata = new Map<string, TypedValue>([
    [generalKeys.architecture, architecture],
    [generalKeys.type, MODEL],
    ...baseEntries(base),
    [generalKeys.fileType, {uint32: fileTypes[dtype]}],
    [generalKeys.quantizationVersion, {uint32: QUANTIZATION_VERSION}],
    ...ofModel,
    ...ofTokenizer,
  ]);
  const tensors = [...weightShapes(config)].map(({name: weight, shape}): PlannedTensor => {
    const named = ggufName(architecture, weight);
    const conversion = conversionOf(config, named);
    return {name: named.name, weight, shape, type: typeOf(shape, dtype), ...conversion};
  });
  if (ropeScaling) {
    const values = divisorsOf(ropeScaling, config);
    tensors.unshift({name: ROPE_TENSOR, shape: [values.length], type: writableTypes.F32, values});
  }
  const header = serializeGgufHeader(metadata, tensors);
  const sizes = tensors.map((tensor) => bytesOfTensor(tensor) + paddingAfter(tensor));
  return {header, tensors, size: sizes.reduce((sum, bytes) => sum + bytes, header.length)};
}

/** The license, and the model that this one was made of, if they are known. */
function baseEntries({model, license}: Base = {license: {}}): Array<[string, TypedValue]> {
  const entries: Array<[string, TypedValue]> = [];
  if (license['license'] !== undefined) entries.push([generalKeys.license, license['license']]);
  if (model !== undefined) {
    const [organization, name] = model.split('/') as [string, string];
    entries.push(
      [generalKeys.baseModels, {uint32: 1}],
      [generalKeys.baseModel, name],
      [generalKeys.baseOrganization, organization],
      [generalKeys.baseUrl, `https://huggingface.co/${model}`],
    );
  }
  return entries;
}

function typeOf(shape: readonly number[], dtype: GgufDtype): WritableType {
  if (shape.length < 2) return writableTypes.F32;
  const type = writableTypes[dtype];
  return shape.at(-1)! % type.blockValues === 0 ? type : writableTypes.F16;
}

/**
 * Writes the file of a plan.
 *
 * @param valuesOf The values of a weight as Hugging Face stores it, piece by piece: in whole rows, or as many that 32 divides them where it
 *   divides a row.
 * @throws if a weight cannot be stored, or the file cannot be written; then an older one is as it was.
 */
export async function writeGguf(
  owner: string,
  {header, tensors, size}: GgufPlan,
  valuesOf: (weight: string) => AsyncIterable<Float32Array>,
  target: ModelTarget,
): Promise<void> {
  async function* pieces(): AsyncGenerator<Uint8Array> {
    yield header;
    for (const tensor of tensors) {
      const values =
        'values' in tensor ? [tensor.values] : converted(valuesOf(tensor.weight), tensor);
      for await (const piece of values) {
        checkRange(owner, tensor, piece);
        yield tensor.type.encode(piece);
      }
      yield new Uint8Array(paddingAfter(tensor));
    }
  }
  const isFolder = target instanceof Map || isDirectoryHandle(target);
  const sink = isFolder ? openSink(owner, target) : fileSink(owner, target);
  try {
    await writeFile(sink, FILE, size, pieces());
    await sink.commit(() => false);
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

/** The values of a weight as the file has them; a piece is valid until the next. */
async function* converted(
  pieces: AsyncIterable<Float32Array>,
  {shape, interleavedRows, shift}: Conversion & Pick<NewTensor, 'shape'>,
): AsyncGenerator<Float32Array> {
  if (interleavedRows > 0) {
    yield* interleaved(pieces, interleavedRows, shape.at(-1)!);
    return;
  }
  for await (const piece of pieces) {
    yield shift === 0 ? piece : piece.map((value) => value + shift);
  }
}

/** The rows of each head, of both halves in turn, head by head. */
async function* interleaved(
  pieces: AsyncIterable<Float32Array>,
  headRows: number,
  rowLength: number,
): AsyncGenerator<Float32Array> {
  const head = new Float32Array(headRows * rowLength);
  const half = headRows / 2;
  let row = 0;
  for await (const piece of pieces) {
    for (let at = 0; at < piece.length; at += rowLength) {
      const place = 2 * (row % half) + (row < half ? 0 : 1);
      head.set(piece.subarray(at, at + rowLength), place * rowLength);
      row = (row + 1) % headRows;
      if (row === 0) yield head;
    }
  }
}

function checkRange(owner: string, {name, type}: NewTensor, values: Float32Array): void {
  const value = values.find((each) => !(Math.abs(each) < type.limit));
  if (value === undefined) return;
  const what = Number.isFinite(value)
    ? `which would be infinite as ${type.name}; use dtype 'BF16'`
    : 'with which nothing can be computed';
  throw new Error(`${owner}: tensor ${show(name)} has the value ${value}, ${what}`);
}
