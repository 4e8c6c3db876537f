import type * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';

/**
 * Calls `use` with matrix `index` of a float32 stack of `rows` × `columns` matrices, as a tensor
 * over the same memory.
 *
 * The view has its own data id, which ends when `use` returns. The backend packs the right operand of a
 * product and keeps the packed copy as long as that operand's data id lives: for a view, not beyond `use`.
 */
export function withMatrixView<T>(
  backend: BackendWasm,
  stack: tf.TensorInfo,
  index: number,
  [rows, columns]: [number, number],
  use: (matrix: tf.TensorInfo) => T,
): T {
  const offset = backend.getMemoryOffset(stack.dataId) + index * rows * columns * 4;
  const view = backend.makeOutput([rows, columns], 'float32', offset);
  try {
    return use(view);
  } finally {
    // the backend's own disposeData would free the memory, which belongs to the stack
    backend.wasm.tfjs.disposeData(backend.dataIdMap.get(view.dataId).id);
    backend.dataIdMap.delete(view.dataId);
  }
}
