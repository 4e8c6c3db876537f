/** The tensors of a GGUF file as the weights of a model, in float32. */
import type {ResolvedConfig} from '../../config';
import {show} from '../../../files/json';
import type {GgufTensor} from './header';
import {elements} from '../../../files/safetensors_header';
import type {SourceFile} from '../../../files/source';
import {weightShapes} from '../weight_shapes';
import {conversionOf, huggingFaceName, type Conversion} from './tensor_names';

/** LLaMA 3's divisors of frequencies, which are no weight. */
export const ROPE_TENSOR = 'rope_freqs.weight';

/** A tensor that is a weight, under Hugging Face's name, and how its values become that weight. */
export interface GgufWeight extends Conversion {
  name: string;
  tensor: GgufTensor;
}

/**
 * The weights of a model, in the order of their bytes.
 *
 * @throws unless the file has the weights of this model and no other tensor, in the shapes that its metadata ask for.
 */
export function chooseWeights(
  owner: string,
  tensors: readonly GgufTensor[],
  config: ResolvedConfig,
): GgufWeight[] {
  const {architecture} = config;
  const chosen = new Map<string, GgufWeight>();
  for (const tensor of tensors) {
    if (tensor.name === ROPE_TENSOR) continue;
    const named = huggingFaceName(architecture, tensor.name);
    if (!named) {
      throw new Error(
        `${owner}: tensor ${show(tensor.name)} is no weight of a ${architecture} model`,
      );
    }
    chosen.set(named.name, {name: named.name, tensor, ...conversionOf(config, named)});
  }
  let count = 0;
  for (const {name, shape, meaning} of weightShapes(config)) {
    const tensor = chosen.get(name)?.tensor;
    if (!tensor) {
      throw new Error(
        `${owner}: none of its ${tensors.length} tensors is ${show(name)}, a weight of the model that its metadata describe`,
      );
    }
    if (shape.length !== tensor.shape.length || shape.some((size, i) => size !== tensor.shape[i])) {
      throw new Error(
        `${owner}: tensor ${show(tensor.name)} must have shape [${shape.join(', ')}], of ${meaning} in its metadata; ` +
          `got [${tensor.shape.join(', ')}]`,
      );
    }
    count++;
  }
  if (count < chosen.size) {
    throw new Error(
      `${owner}: it has ${chosen.size} weights, but the model that its metadata describe has ${count} only`,
    );
  }
  return [...chosen.values()];
}

/** Reads weights, some rows at a time. */
export class WeightReader {
  /** The bytes of the tensor with interleaved rows that was read last: all of its rows are read one after the other. */
  private whole: {tensor: GgufTensor; bytes: Uint8Array} | undefined;

  constructor(private readonly file: SourceFile) {}

  /** The values of rows `from` to before `to` (of the last axis). */
  async rows(
    {tensor, interleavedRows, shift}: GgufWeight,
    from: number,
    to: number,
  ): Promise<Float32Array> {
    const {type} = tensor;
    const bytes =
      interleavedRows > 0
        ? await this.reordered(tensor, interleavedRows, from, to)
        : await this.file.read(
            tensor.from + from * rowBytes(tensor),
            tensor.from + to * rowBytes(tensor),
          );
    const values = type.decode(bytes);
    if (shift !== 0) for (let i = 0; i < values.length; i++) values[i]! -= shift;
    return values;
  }

  /** Bytes of rows: of each head first the even ones, then the odd ones. */
  private async reordered(
    tensor: GgufTensor,
    headRows: number,
    from: number,
    to: number,
  ): Promise<Uint8Array> {
    if (this.whole?.tensor !== tensor) {
      this.whole = {tensor, bytes: await this.file.read(tensor.from, tensor.to)};
    }
    const {bytes} = this.whole;
    const size = rowBytes(tensor);
    const rows = new Uint8Array((to - from) * size);
    const half = headRows / 2;
    for (let row = from; row < to; row++) {
      const within = row % headRows;
      const stored = row - within + 2 * (within % half) + (within < half ? 0 : 1);
      rows.set(bytes.subarray(stored * size, (stored + 1) * size), (row - from) * size);
    }
    return rows;
  }
}

/** Values in a row. */
export function rowLength({shape}: GgufTensor): number {
  return shape.at(-1) ?? 1;
}

function rowBytes(tensor: GgufTensor): number {
  return (rowLength(tensor) / tensor.type.blockValues) * tensor.type.blockBytes;
}

/** Bytes of a weight in float32. */
export function floatBytes({tensor}: GgufWeight): number {
  return 4 * elements(tensor.shape);
}
