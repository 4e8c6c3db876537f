import type * as tf from '@tensorflow/tfjs-core';
import {asKernelFunc} from './kernel';

const ofFloats = asKernelFunc<tf.BatchMatMulAttrs>((ops, {a, b}, {transposeA, transposeB}) =>
  a!.shape.length === 2 && b!.shape.length === 2
    ? ops.matMul(a!, b!, transposeA, transposeB)
    : ops.batchMatMul(a!, b!, transposeA, transposeB),
);

/** BatchMatMul; for float32 by the fastest safe op, which `NativeOps` chooses. */
export function createBatchMatMul(stock: tf.KernelFunc): tf.KernelFunc {
  return (args) => {
    const {a, b} = args.inputs as Record<'a' | 'b', tf.TensorInfo>;
    const isFloat = a.dtype === 'float32' && b.dtype === 'float32';
    return (isFloat ? ofFloats : stock)(args);
  };
}
