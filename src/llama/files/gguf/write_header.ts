/** The start of a GGUF file, version 3, as bytes. */
import {elements} from '../../../files/safetensors_header';
import {ByteWriter} from './byte_writer';
import {ALIGNMENT, MAGIC} from './header';
import {valueTypes} from './metadata';
import type {WritableType} from './tensor_types';

const VERSION = 3;

/** A value of metadata as it is written: texts and flags as what they are, numbers with their type. */
export type TypedValue =
  | string
  | boolean
  | {uint32: number}
  | {float32: number}
  | {texts: readonly string[]}
  | {int32s: readonly number[]}
  | {float32s: readonly number[]};

export type TypedMetadata = ReadonlyMap<string, TypedValue>;

/** A tensor that is to be written. */
export interface NewTensor {
  name: string;
  /** Row-major, the outermost dimension first. */
  shape: readonly number[];
  type: WritableType;
}

/** Bytes of a tensor's values. */
export function bytesOfTensor({shape, type}: NewTensor): number {
  return (elements(shape) / type.blockValues) * type.blockBytes;
}

/** Zeros after the values of a tensor, so that what follows begins where a tensor may. */
export function paddingAfter(tensor: NewTensor): number {
  return (ALIGNMENT - (bytesOfTensor(tensor) % ALIGNMENT)) % ALIGNMENT;
}

/** Everything before the values, which follow in the order of the tensors, each with its padding. */
export function serializeGgufHeader(
  metadata: TypedMetadata,
  tensors: readonly NewTensor[],
): Uint8Array {
  const writer = new ByteWriter();
  writer.uint32(MAGIC);
  writer.uint32(VERSION);
  writer.uint64(tensors.length);
  writer.uint64(metadata.size);
  for (const [key, value] of metadata) {
    writer.text(key);
    writeValue(writer, value);
  }
  let offset = 0;
  for (const tensor of tensors) {
    const {name, shape, type} = tensor;
    writer.text(name);
    writer.uint32(shape.length);
    for (const size of [...shape].reverse()) writer.uint64(size);
    writer.uint32(type.id);
    writer.uint64(offset);
    offset += bytesOfTensor(tensor) + paddingAfter(tensor);
  }
  writer.align(ALIGNMENT);
  return writer.bytes;
}

function writeValue(writer: ByteWriter, value: TypedValue): void {
  const {uint32, int32, float32, boolean, text, list} = valueTypes;
  const writeList = <T>(type: number, values: readonly T[], write: (one: T) => void): void => {
    writer.uint32(list);
    writer.uint32(type);
    writer.uint64(values.length);
    values.forEach(write);
  };
  if (typeof value === 'string') {
    writer.uint32(text);
    writer.text(value);
  } else if (typeof value === 'boolean') {
    writer.uint32(boolean);
    writer.uint8(Number(value));
  } else if ('uint32' in value) {
    writer.uint32(uint32);
    writer.uint32(value.uint32);
  } else if ('float32' in value) {
    writer.uint32(float32);
    writer.float32(value.float32);
  } else if ('texts' in value) writeList(text, value.texts, (one) => writer.text(one));
  else if ('int32s' in value) writeList(int32, value.int32s, (one) => writer.int32(one));
  else writeList(float32, value.float32s, (one) => writer.float32(one));
}
