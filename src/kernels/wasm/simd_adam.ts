import * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import type {OwLoreAdamAttrs, OwLoreAdamInputs} from '../kernel_names';
import {addressOf, allocate} from './kernel';
import type {SimdModule} from './simd_module';

/**
 * OwLoreAdam. The moments are changed in place, the variable is not: kernels of tfjs may have kept
 * it packed, and take another tensor for another weight.
 */
export function simdAdam(
  module: SimdModule,
  {
    inputs,
    backend,
    attrs,
  }: {inputs: OwLoreAdamInputs; backend: BackendWasm; attrs: OwLoreAdamAttrs},
): tf.TensorInfo[] {
  const {variable, gradient, clip, basis} = inputs;
  const {beta1, beta2, rate, epsilon, decay} = attrs;
  const y = allocate(backend, variable.shape);
  const step = basis ? allocate(backend, gradient.shape) : y;
  const moments = [inputs.first, inputs.second];
  const results = moments.map((x) => inPlace(backend, x));
  const [first, second] = moments.map((x) => addressOf(backend, x));
  const [newFirst, newSecond] = results.map((x) => addressOf(backend, x));
  module.adam({
    gradient: addressOf(backend, gradient),
    ...{first: first!, second: second!},
    variable: basis ? 0 : addressOf(backend, variable),
    size: tf.util.sizeFromShape(gradient.shape),
    clip: clip ? backend.typedArrayFromHeap(clip)[0]! : 1,
    ...{beta1, rest1: 1 - beta1, beta2, rest2: 1 - beta2, rate, epsilon, decay},
    ...{newFirst: newFirst!, newSecond: newSecond!, y: addressOf(backend, step)},
  });
  if (basis) {
    const [n, p, to] = [step, basis, y].map((x) => addressOf(backend, x));
    const [rows, columns] = variable.shape as [number, number];
    const rank = basis.shape[1]!;
    module.scale({x: addressOf(backend, variable), size: rows * columns, factor: decay, y: to!});
    const factors =
      attrs.side === 'left'
        ? {a: p!, b: n!, bStep: columns * 4, transposeB: false}
        : {a: n!, b: p!, bStep: rank * 4, transposeB: true};
    module.multiply({
      ...{rows, columns, inner: rank, aStep: rank * 4, transposeA: false, ...factors},
      ...{c: to!, cStep: columns * 4, add: true},
    });
    backend.disposeData(step.dataId);
  }
  return [y, ...results];
}

/** A tensor for what takes the place of `x`: over the same memory if `x` is its only owner. */
function inPlace(backend: BackendWasm, x: tf.TensorInfo): tf.TensorInfo {
  if (backend.refCount(x.dataId) > 1) return allocate(backend, x.shape);
  backend.incRef(x.dataId);
  return {dataId: x.dataId, shape: x.shape, dtype: x.dtype};
}
