import type * as tf from '@tensorflow/tfjs-core';
import {asKernelFunc} from './kernel';

const ofMatrices = asKernelFunc<tf.BatchMatMulAttrs>((ops, {a, b}, attrs) =>
  ops.matMul(a!, b!, attrs.transposeA, attrs.transposeB),
);

/** BatchMatMul, that of two matrices by whichever of TensorFlow's ops is faster for them, as `NativeOps.matMul` knows. */
export function createBatchMatMul(stock: tf.KernelFunc): tf.KernelFunc {
  return (args) => {
    const {a, b} = args.inputs as Record<'a' | 'b', tf.TensorInfo>;
    const isPlain = [a, b].every(({shape, dtype}) => shape.length === 2 && dtype === 'float32');
    return (isPlain ? ofMatrices : stock)(args);
  };
}
