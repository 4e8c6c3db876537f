import * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import {addressOf, allocate} from './kernel';
import {simdModule} from './simd_module';

type ConcatKernel = (args: {
  inputs: Readonly<Record<number, tf.TensorInfo>>;
  backend: BackendWasm;
  attrs: tf.ConcatAttrs;
}) => tf.TensorInfo;

/**
 * Concat with one call of the module for each input. The stock kernel copies row by row in JavaScript, which on the shared memory of several
 * threads takes three times as long.
 *
 * @param stock the kernel that tfjs registers; used for dtypes that are not of 32 bits, and where fewer than two inputs have numbers.
 */
export function createConcat(stock: ConcatKernel): ConcatKernel {
  return (args) => {
    const {inputs, backend, attrs} = args;
    const module = simdModule(backend);
    const all = Object.values(inputs);
    const parts = all.filter(({shape}) => tf.util.sizeFromShape(shape) > 0);
    const [first] = parts;
    const isAlike = parts.every(({dtype}) => dtype === first!.dtype);
    const isWide = first?.dtype === 'float32' || first?.dtype === 'int32';
    if (!module || parts.length < 2 || !isAlike || !isWide) return stock({...args, inputs: all});
    const shapes = parts.map(({shape}) => shape);
    const [axis] = tf.util.parseAxisParam(attrs.axis, shapes[0]!) as [number];
    tf.backend_util.assertParamsConsistent(shapes, axis);
    const out = allocate(backend, tf.backend_util.computeOutShape(shapes, axis), first.dtype);
    const toStep = 4 * tf.util.sizeFromShape(out.shape.slice(axis));
    const rows = tf.util.sizeFromShape(out.shape.slice(0, axis));
    let to = addressOf(backend, out);
    for (const part of parts) {
      const size = tf.util.sizeFromShape(part.shape.slice(axis));
      const from = addressOf(backend, part);
      module.copyRows({from, fromStep: 4 * size, rows, size, to, toStep});
      to += 4 * size;
    }
    return out;
  };
}
