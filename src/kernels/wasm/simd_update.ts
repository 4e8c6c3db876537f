import * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import type {
  OwLoreMomentsAttrs,
  OwLoreMomentsInputs,
  OwLoreProjectedStepAttrs,
  OwLoreProjectedStepInputs,
  OwLoreStepAttrs,
  OwLoreStepInputs,
} from '../kernel_names';
import {addressOf, allocate} from './kernel';
import type {SimdModule} from './simd_module';

interface UpdateArgs<Inputs, Attrs> {
  inputs: Inputs;
  backend: BackendWasm;
  attrs: Attrs;
}

/** OwLoreMoments. */
export function simdMoments(
  {functions}: SimdModule,
  {inputs, backend, attrs}: UpdateArgs<OwLoreMomentsInputs, OwLoreMomentsAttrs>,
): tf.TensorInfo[] {
  const {first, second, gradient, clip} = inputs;
  if (isForbidden(backend, inputs.mask)) return [copy(backend, first), copy(backend, second)];
  const newFirst = allocate(backend, gradient.shape);
  const newSecond = allocate(backend, gradient.shape);
  functions.moments(
    addressOf(backend, first),
    addressOf(backend, second),
    addressOf(backend, gradient),
    tf.util.sizeFromShape(gradient.shape),
    clip ? backend.typedArrayFromHeap(clip)[0]! : 1,
    attrs.beta1,
    1 - attrs.beta1,
    attrs.beta2,
    1 - attrs.beta2,
    addressOf(backend, newFirst),
    addressOf(backend, newSecond),
  );
  return [newFirst, newSecond];
}

/** OwLoreStep. */
export function simdStep(
  {functions}: SimdModule,
  {inputs, backend, attrs}: UpdateArgs<OwLoreStepInputs, OwLoreStepAttrs>,
): tf.TensorInfo {
  const {variable, first, second} = inputs;
  if (isForbidden(backend, inputs.mask)) return copy(backend, variable);
  const y = allocate(backend, variable.shape);
  functions.step(
    addressOf(backend, variable),
    addressOf(backend, first),
    addressOf(backend, second),
    tf.util.sizeFromShape(variable.shape),
    attrs.rate,
    attrs.epsilon,
    attrs.decay,
    addressOf(backend, y),
  );
  return y;
}

/** OwLoreProjectedStep: the step in the subspace, and its product with the basis onto the decayed variable. */
export function simdProjectedStep(
  {functions}: SimdModule,
  {inputs, backend, attrs}: UpdateArgs<OwLoreProjectedStepInputs, OwLoreProjectedStepAttrs>,
): tf.TensorInfo {
  const {variable, first, second, basis} = inputs;
  if (isForbidden(backend, inputs.mask)) return copy(backend, variable);
  const [rows, columns] = variable.shape as [number, number];
  const rank = basis.shape[1]!;
  const y = allocate(backend, variable.shape);
  const inSubspace = allocate(backend, first.shape);
  const [to, n] = [addressOf(backend, y), addressOf(backend, inSubspace)];
  functions.step(
    0,
    addressOf(backend, first),
    addressOf(backend, second),
    tf.util.sizeFromShape(first.shape),
    attrs.rate,
    attrs.epsilon,
    0,
    n,
  );
  functions.scale(addressOf(backend, variable), rows * columns, attrs.decay, to);
  const p = addressOf(backend, basis);
  const isLeft = attrs.side === 'left';
  functions.multiply(
    rows,
    columns,
    rank,
    isLeft ? p : n,
    rank * 4,
    false,
    isLeft ? n : p,
    (isLeft ? columns : rank) * 4,
    !isLeft,
    to,
    columns * 4,
    true,
  );
  backend.disposeData(inSubspace.dataId);
  return y;
}

/** Whether nothing may change. */
function isForbidden(backend: BackendWasm, mask: tf.TensorInfo | undefined): boolean {
  return mask !== undefined && backend.typedArrayFromHeap(mask)[0] === 0;
}

function copy(backend: BackendWasm, x: tf.TensorInfo): tf.TensorInfo {
  const y = allocate(backend, x.shape);
  // The arrays are made after the allocation: growing the heap detaches older ones.
  backend.typedArrayFromHeap(y).set(backend.typedArrayFromHeap(x));
  return y;
}
