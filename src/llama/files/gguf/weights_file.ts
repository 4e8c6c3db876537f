/** The weights of a GGUF file as the safetensors file that they would be in, of which no byte exists before it is read. */
import {serializeHeader} from '../../../files/safetensors_header';
import type {SourceFile} from '../../../files/source';
import {floatBytes, rowLength, WeightReader, type GgufWeight} from './weights';

/**
 * A file of float32 tensors, in the order in which the GGUF file has them. What is read of it is read of that file, some whole rows
 * at a time, and dequantized.
 *
 * @param file The GGUF file, which is closed with this one.
 * @param path What messages call it.
 */
export function weightsFile(
  file: SourceFile,
  path: string,
  weights: readonly GgufWeight[],
): SourceFile {
  const header = serializeHeader(
    weights.map(({name, tensor}) => ({name, dtype: 'F32', shape: tensor.shape})),
    {format: 'pt'},
  );
  const starts: number[] = [];
  let size = header.length;
  for (const weight of weights) {
    starts.push(size);
    size += floatBytes(weight);
  }
  const reader = new WeightReader(file);

  /** Bytes `from` to before `to` of a weight. */
  async function readWeight(weight: GgufWeight, from: number, to: number): Promise<Uint8Array> {
    const row = 4 * rowLength(weight.tensor);
    const first = Math.floor(from / row);
    const values = await reader.rows(weight, first, Math.ceil(to / row));
    return new Uint8Array(values.buffer).subarray(from - first * row, to - first * row);
  }

  return {
    path,
    size,
    ...(file.version !== undefined && {version: file.version}),
    async read(from, to) {
      if (to <= header.length) return header.subarray(from, to);
      const index = starts.filter((start) => start <= from).length - 1;
      const start = starts[index];
      const weight = weights[index];
      if (start !== undefined && weight && to <= start + floatBytes(weight)) {
        return readWeight(weight, from - start, to - start);
      }
      // of several tensors, which nobody who reads tensors asks for
      const bytes = new Uint8Array(to - from);
      for (let at = from; at < to;) {
        const end = Math.min(to, starts.find((each) => each > at) ?? size);
        bytes.set(await this.read(at, end), at - from);
        at = end;
      }
      return bytes;
    },
    close: () => file.close(),
  };
}
