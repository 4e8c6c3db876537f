import type * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';

/**
 * Calls `use` with matrix `index` of a float32 stack of `rows` × `columns` matrices, as a tensor
 * over the same memory.
 *
 * The view has a data id of its own and loses it when `use` returns. The backend packs the right
 * operand of a product and keeps the packed copy as long as that operand's data id: for a view it
 * is gone at once.
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
    // disposeData of the backend would free memory that belongs to the stack
    backend.wasm.tfjs.disposeData(backend.dataIdMap.get(view.dataId).id);
    backend.dataIdMap.delete(view.dataId);
  }
}
