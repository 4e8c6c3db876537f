import {readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import * as tf from '@tensorflow/tfjs-core';

/** One tensor of a fixture file, as it lies on disk. */
export interface FixtureTensor {
  dtype: 'F32' | 'I32';
  shape: number[];
  values: Float32Array | Int32Array;
}

const root = fileURLToPath(new URL('../fixtures/', import.meta.url));

/** Reads `test/fixtures/<path>.json`. */
export function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(`${root}${path}.json`, 'utf8')) as T;
}

/** Reads all tensors of `test/fixtures/<path>.safetensors` (F32 and I32 only). */
export function readTensors(path: string): Map<string, FixtureTensor> {
  const bytes = readFileSync(`${root}${path}.safetensors`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerLength = Number(view.getBigUint64(0, true));
  const text = new TextDecoder().decode(bytes.subarray(8, 8 + headerLength));
  const header = JSON.parse(text) as Record<
    string,
    {dtype: 'F32' | 'I32'; shape: number[]; data_offsets: [number, number]}
  >;
  const tensors = new Map<string, FixtureTensor>();
  for (const [name, {dtype, shape, data_offsets: offsets}] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const [from, to] = offsets;
    const data = bytes.buffer.slice(
      bytes.byteOffset + 8 + headerLength + from,
      bytes.byteOffset + 8 + headerLength + to,
    );
    const values = dtype === 'F32' ? new Float32Array(data) : new Int32Array(data);
    tensors.set(name, {dtype, shape, values});
  }
  return tensors;
}

/** A fixture tensor as a `tf.Tensor` on the current backend; with `index`, entry `index` of its first axis. */
export function toTensor(tensor: FixtureTensor, index?: number): tf.Tensor {
  const dtype = tensor.dtype === 'F32' ? 'float32' : 'int32';
  if (index === undefined) return tf.tensor(tensor.values, tensor.shape, dtype);
  const shape = tensor.shape.slice(1);
  return tf.tensor(entry(tensor, index), shape, dtype);
}

/** The values of entry `index` of the first axis. */
export function entry(tensor: FixtureTensor, index: number): Float32Array | Int32Array {
  const size = tensor.shape.slice(1).reduce((a, b) => a * b, 1);
  return tensor.values.slice(index * size, (index + 1) * size);
}
