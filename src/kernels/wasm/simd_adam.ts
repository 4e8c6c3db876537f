import * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import {
  updateInputs,
  type OwLoreAdamAttrs,
  type OwLoreAdamInputs,
  type OwLoreUpdate,
  type OwLoreUpdateInputs,
} from '../kernel_names';
import {addressOf, allocate, renamed, share} from './kernel';
import type {SimdModule} from './simd_module';

interface AdamArgs {
  inputs: OwLoreAdamInputs;
  backend: BackendWasm;
  attrs: OwLoreAdamAttrs;
}

/** OwLoreAdam, one variable after the other. */
export function simdAdam(module: SimdModule, args: AdamArgs): tf.TensorInfo[] {
  const {inputs, backend, attrs} = args;
  const numberIn = (x: tf.TensorInfo): number => Number(backend.typedArrayFromHeap(x)[0]);
  const allFinite = !inputs.allFinite || numberIn(inputs.allFinite) !== 0;
  return attrs.updates.flatMap((update, i) => {
    const own = updateInputs(inputs, i);
    if (!allFinite) return [own.variable, own.first, own.second].map((x) => share(backend, x));
    const clip = inputs.clip ? numberIn(inputs.clip) : 1;
    return updateVariable(module, backend, own, {...attrs, ...update, clip});
  });
}

/**
 * Variable and moments after the update, all changed in place. The variable gets a new id: kernels of tfjs may have kept a packed copy
 * of it, and notice a new weight only if it is another tensor.
 */
function updateVariable(
  module: SimdModule,
  backend: BackendWasm,
  {variable, first, second, gradient, basis}: OwLoreUpdateInputs,
  numbers: Pick<OwLoreAdamAttrs, 'beta1' | 'beta2'> & OwLoreUpdate & {clip: number},
): tf.TensorInfo[] {
  const {beta1, beta2, rate, epsilon, decay, side, clip} = numbers;
  const isOwner = backend.refCount(variable.dataId) === 1;
  const y = isOwner ? variable : allocate(backend, variable.shape);
  const step = basis ? allocate(backend, gradient.shape) : y;
  const results = [first, second].map((x) => inPlace(backend, x));
  const at = (x: tf.TensorInfo): number => addressOf(backend, x);
  const [newFirst, newSecond] = results.map(at);
  module.adam({
    gradient: at(gradient),
    first: at(first),
    second: at(second),
    variable: basis ? 0 : at(variable),
    size: tf.util.sizeFromShape(gradient.shape),
    clip,
    beta1,
    rest1: 1 - beta1,
    beta2,
    rest2: 1 - beta2,
    rate,
    epsilon,
    decay,
    newFirst: newFirst!,
    newSecond: newSecond!,
    y: at(step),
  });
  if (basis) {
    const [n, p, to] = [at(step), at(basis), at(y)];
    const [rows, columns] = variable.shape as [number, number];
    const rank = basis.shape[1]!;
    if (decay !== 1 || !isOwner) {
      module.scale({x: at(variable), size: rows * columns, factor: decay, y: to});
    }
    const factors =
      side === 'left'
        ? {a: p, b: n, bStep: columns * 4, transposeB: false}
        : {a: n, b: p, bStep: rank * 4, transposeB: true};
    module.multiply({
      rows,
      columns,
      inner: rank,
      aStep: rank * 4,
      transposeA: false,
      ...factors,
      c: to,
      cStep: columns * 4,
      add: true,
    });
    backend.disposeData(step.dataId);
  }
  return [isOwner ? renamed(backend, variable) : y, ...results];
}

/** A tensor for the values that replace `x`: over the same memory if `x` is its only owner. */
function inPlace(backend: BackendWasm, x: tf.TensorInfo): tf.TensorInfo {
  return backend.refCount(x.dataId) > 1 ? allocate(backend, x.shape) : share(backend, x);
}
