import * as tf from '@tensorflow/tfjs-core';
import {
  updateInputs,
  type OwLoreAdamAttrs,
  type OwLoreAdamInputs,
  type OwLoreUpdate,
  type OwLoreUpdateInputs,
  type Side,
} from '../kernel_names';
import {floatsOf, type CpuBackend, type CpuKernelArgs} from './cpu_backend';
import {product} from './project';

const {fround} = Math;

/**
 * OwLoreAdam, in one pass over each variable. Every operation is rounded to float32, in the order of tfjs's ops, so that a variable
 * without a basis moves as by these to the bit. Variable and moments are new: a program may hold what `dataSync()` has given it, which
 * on this backend are the values themselves.
 */
export function adam({
  inputs,
  backend,
  attrs,
}: CpuKernelArgs<OwLoreAdamInputs, OwLoreAdamAttrs>): tf.TensorInfo[] {
  const {clip, allFinite} = inputs;
  const isUsed = !allFinite || backend.data.get(allFinite.dataId).values[0] !== 0;
  const factor = clip ? floatsOf(backend, clip)[0]! : 1;
  return attrs.updates.flatMap((update, i) => {
    const own = updateInputs(inputs, i);
    if (isUsed) return updateVariable(backend, own, {...attrs, ...update, clip: factor});
    return [own.variable, own.first, own.second].map(({dataId, shape, dtype}) => {
      backend.incRef(dataId);
      return {dataId, shape, dtype};
    });
  });
}

function updateVariable(
  backend: CpuBackend,
  {variable, first, second, gradient, basis}: OwLoreUpdateInputs,
  numbers: Pick<OwLoreAdamAttrs, 'beta1' | 'beta2'> & OwLoreUpdate & {clip: number},
): tf.TensorInfo[] {
  const [w, g, m, v] = [variable, gradient, first, second].map((x) => floatsOf(backend, x));
  const [step, newFirst, newSecond] = adamStep(g!, m!, v!, numbers);
  const decay = fround(numbers.decay);
  const change = basis
    ? takenBack(step, floatsOf(backend, basis), variable.shape, numbers.side!)
    : step;
  const moved = w!.map((value, i) => fround(value * decay) - change[i]!);
  return [
    backend.makeTensorInfo(variable.shape, 'float32', moved),
    backend.makeTensorInfo(first.shape, 'float32', newFirst),
    backend.makeTensorInfo(second.shape, 'float32', newSecond),
  ];
}

/** N and the new moments. */
function adamStep(
  gradient: Float32Array,
  first: Float32Array,
  second: Float32Array,
  numbers: Pick<OwLoreAdamAttrs, 'beta1' | 'beta2'> & OwLoreUpdate & {clip: number},
): [Float32Array, Float32Array, Float32Array] {
  const {beta1, beta2, clip} = numbers;
  const [rate, epsilon] = [fround(numbers.rate), fround(numbers.epsilon)];
  // Each average is computed from the nearer of its parts, see `movingAverage` of the optimizer.
  const [isNear1, part1] = [beta1 > 0.5, fround(beta1 > 0.5 ? 1 - beta1 : -beta1)];
  const [isNear2, part2] = [beta2 > 0.5, fround(beta2 > 0.5 ? 1 - beta2 : -beta2)];
  const step = new Float32Array(gradient.length);
  const newFirst = new Float32Array(gradient.length);
  const newSecond = new Float32Array(gradient.length);
  for (let i = 0; i < gradient.length; i++) {
    const x = fround(gradient[i]! * clip);
    const square = fround(x * x);
    const m = first[i]!;
    const v = second[i]!;
    const mean = fround((isNear1 ? m : x) + fround(fround(x - m) * part1));
    const variance = fround((isNear2 ? v : square) + fround(fround(square - v) * part2));
    newFirst[i] = mean;
    newSecond[i] = variance;
    step[i] = fround(mean / fround(fround(Math.sqrt(variance)) + epsilon)) * rate;
  }
  return [step, newFirst, newSecond];
}

/** P·N, or N·Pᵀ, of the variable's shape. */
function takenBack(
  step: Float32Array,
  basis: Float32Array,
  shape: readonly number[],
  side: Side,
): Float32Array {
  const [rows, columns] = shape as [number, number];
  const rank = basis.length / (side === 'left' ? rows : columns);
  const sizes = {rows, inner: rank, columns, aRow: rank, aColumn: 1};
  if (side === 'left') return product(basis, step, sizes);
  const transposed = basis.map((_, i) => basis[(i % columns) * rank + Math.floor(i / columns)]!);
  return product(step, transposed, sizes);
}
