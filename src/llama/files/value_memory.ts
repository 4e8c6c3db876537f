/**
 * Memory for the values of a tensor that is to be made, which is given back as soon as the backend has copied them. The garbage collector
 * would free it when it runs, which it may not do for long: it sees nothing of a backend's memory.
 */
import * as tf from '@tensorflow/tfjs-core';

/** TensorFlow copies values that do not begin at a multiple of so many bytes or more, and works in the array itself with others. */
const UNALIGNED = 4;

/** By backend, whether it copies values whose array begins at such a place. */
const copies = new WeakMap<object, boolean>();

/** An array of zeros for values that will be a tensor of {@link onBackend}. */
export function valueArray(count: number): Float32Array {
  const backend = tf.backend();
  if (!copies.has(backend)) copies.set(backend, seesCopy());
  if (!copies.get(backend)) return new Float32Array(count);
  return unaligned(count);
}

/** Makes a tensor whose values are in the backend's memory, and gives that of the array back, which is of {@link valueArray}. */
export function onBackend<T extends Float32Array | Int32Array>(
  values: T,
  shape: number[],
): tf.Tensor {
  const tensor = tf.tensor(values, shape, values instanceof Int32Array ? 'int32' : 'float32');
  read(tensor);
  const {resizable, resize} = values.buffer as ResizableBuffer;
  if (resizable) resize.call(values.buffer, 0);
  return tensor;
}

/** In a buffer that can be freed, where the engine has such; elsewhere in an ordinary one. */
function unaligned(count: number): Float32Array {
  const bytes = UNALIGNED + Float32Array.BYTES_PER_ELEMENT * count;
  const buffer = new (ArrayBuffer as ResizableConstructor)(bytes, {maxByteLength: bytes});
  return new Float32Array(buffer, UNALIGNED, count);
}

/** Tries out whether the current backend copies values as soon as an op has read them: on tensorflow and wasm it does. */
function seesCopy(): boolean {
  if (!['tensorflow', 'wasm'].includes(tf.getBackend())) return false;
  const values = unaligned(1);
  const tensor = tf.tensor1d(values);
  read(tensor);
  values[0] = 1;
  const [value] = tensor.dataSync();
  tensor.dispose();
  return value === 0;
}

/** Lets an op read a tensor: only then tensorflow takes its values. */
function read(tensor: tf.Tensor): void {
  tf.tidy(() => void tf.slice(tf.reshape(tensor, [-1]), 0, Math.min(1, tensor.size)));
}

/** Of ES2024. */
type ResizableConstructor = new (bytes: number, options: {maxByteLength: number}) => ArrayBuffer;
type ResizableBuffer = ArrayBuffer & {resizable: boolean; resize(bytes: number): void};
