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
  module.adam(
    ...([addressOf(backend, gradient), first!, second!] as const),
    basis ? 0 : addressOf(backend, variable),
    tf.util.sizeFromShape(gradient.shape),
    clip ? backend.typedArrayFromHeap(clip)[0]! : 1,
    ...([beta1, 1 - beta1, beta2, 1 - beta2, rate, epsilon, decay] as const),
    ...([newFirst!, newSecond!, addressOf(backend, step)] as const),
  );
  if (basis) {
    module.scale(
      addressOf(backend, variable),
      tf.util.sizeFromShape(variable.shape),
      decay,
      addressOf(backend, y),
    );
    const addresses = [step, basis, y].map((x) => addressOf(backend, x));
    const [n, p, to] = addresses as [number, number, number];
    const [rows, columns] = variable.shape as [number, number];
    const rank = basis.shape[1]!;
    const multiply = module.multiply.bind(null, rows, columns, rank);
    if (attrs.side === 'left') {
      multiply(p, rank * 4, false, n, columns * 4, false, to, columns * 4, true);
    } else {
      multiply(n, rank * 4, false, p, rank * 4, true, to, columns * 4, true);
    }
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
