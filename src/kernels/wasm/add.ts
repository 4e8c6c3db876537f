import * as tf from '@tensorflow/tfjs-core';
import {addressOf, allocate, type WasmKernel} from './kernel';
import {simdModule} from './simd_module';

type AddKernel = WasmKernel<'a' | 'b', object>;

/**
 * Add of tensors of one shape by the module, which may have several threads.
 *
 * @param stock the kernel that tfjs registers; used for other dtypes and where one input is broadcast.
 */
export function createAdd(stock: AddKernel): AddKernel {
  return (args) => {
    const {inputs, backend} = args;
    const {a, b} = inputs;
    const module = simdModule(backend);
    const isFloat = a.dtype === 'float32' && b.dtype === 'float32';
    if (!module || !isFloat || !tf.util.arraysEqual(a.shape, b.shape)) return stock(args);
    const y = allocate(backend, a.shape);
    module.add({
      a: addressOf(backend, a),
      b: addressOf(backend, b),
      size: tf.util.sizeFromShape(a.shape),
      y: addressOf(backend, y),
    });
    return y;
  };
}
