import * as tf from '@tensorflow/tfjs-core';
import type {WebGPUBackend} from '@tensorflow/tfjs-backend-webgpu';
import {
  OwLoreCountAbove,
  OwLoreMagnitudeSums,
  type OwLoreCountAboveAttrs,
  type OwLoreMagnitudeInputs,
} from '../kernel_names';
import {dispatch, int, type Dispatch, type Input, type KernelArgs, type Uniform} from './program';

const THREADS = 256;

/** The fewest entries that a thread goes over; more if there would be over `MAX_PARTS` workgroups. */
const FEWEST_ENTRIES = 16;
const MAX_PARTS = 4096;

interface Variant {
  /** Whether `norm` has a number for each row of the weight instead of each entry. */
  byRow: boolean;
}

/** WGSL: A at `index`, and the sum over a workgroup of one number per thread, which is valid in its first thread. */
const shared = (type: 'f32' | 'i32', {byRow}: Variant): string => `
  fn magnitude(index : i32) -> f32 {
    return abs(weight[index]) * norm[${byRow ? 'index / uniforms.columns' : 'index'}];
  }
  ${workgroupSum(type)}`;

function workgroupSum(type: 'f32' | 'i32'): string {
  return `
    var<workgroup> partial : array<${type}, ${THREADS}>;

    fn workgroupSum(own : ${type}) -> ${type} {
      partial[localIndex] = own;
      workgroupBarrier();
      for (var half = ${THREADS / 2}u; half > 0u; half /= 2u) {
        if (localIndex < half) { partial[localIndex] += partial[localIndex + half]; }
        workgroupBarrier();
      }
      return partial[0];
    }`;
}

/** WGSL: a thread's loop over entries that are a whole grid of threads apart, so that neighbouring threads read neighbours. */
const eachEntry = (body: string): string => `
  for (var step = 0; step < uniforms.entries; step++) {
    let index = (step * uniforms.parts + i32(workgroupId.x)) * ${THREADS} + i32(localIndex);
    if (index < uniforms.length) { ${body} }
  }`;

const sumCode = (variant: Variant): string => `
  ${shared('f32', variant)}
  fn main() {
    var sum = 0.0;
    ${eachEntry('sum += magnitude(index);')}
    let total = workgroupSum(sum);
    if (localIndex == 0u) { result[workgroupId.x] = total; }
  }`;

const countCode = (variant: Variant): string => `
  ${shared('i32', variant)}
  fn main() {
    let threshold = thresholds[workgroupId.y];
    var count = 0;
    ${eachEntry('count += i32(magnitude(index) > threshold);')}
    let total = workgroupSum(count);
    if (localIndex == 0u) { result[i32(workgroupId.y) * uniforms.parts + i32(workgroupId.x)] = total; }
  }`;

const totalCode = (): string => `
  ${workgroupSum('i32')}
  fn main() {
    var count = 0;
    for (var part = i32(localIndex); part < uniforms.parts; part += ${THREADS}) {
      count += counts[i32(workgroupId.x) * uniforms.parts + part];
    }
    let total = workgroupSum(count);
    if (localIndex == 0u) { result[workgroupId.x] = total; }
  }`;

/** One dispatch. */
export function magnitudeSums({inputs, backend}: KernelArgs<OwLoreMagnitudeInputs>): tf.TensorInfo {
  const plan = planParts(inputs);
  if (plan.parts === 0) return backend.makeTensorInfo([0], 'float32', new Float32Array(0));
  return dispatch(backend, {
    ...plan.common,
    name: OwLoreMagnitudeSums,
    code: sumCode,
    output: {shape: [plan.parts], dtype: 'float32', components: 1},
    workgroups: [plan.parts, 1, 1],
  });
}

/** Two dispatches: counts of parts of the weight, and their sums. */
export function countAbove({
  inputs,
  backend,
  attrs: {thresholds},
}: KernelArgs<OwLoreMagnitudeInputs, OwLoreCountAboveAttrs>): tf.TensorInfo {
  const {parts, common} = planParts(inputs);
  const count = thresholds.length;
  if (parts === 0 || count === 0) {
    return backend.makeTensorInfo([count], 'int32', new Int32Array(count));
  }
  const limits = Float32Array.from(thresholds, roundDown);
  const tensor = backend.makeTensorInfo([count], 'float32', limits);
  const counts = dispatch(backend, {
    ...common,
    name: OwLoreCountAbove,
    code: countCode,
    inputs: [...common.inputs, {name: 'thresholds', tensor, components: 1}],
    output: {shape: [count, parts], dtype: 'int32', components: 1},
    workgroups: [parts, count, 1],
  });
  const totals = sumCounts(backend, counts);
  backend.disposeData(tensor.dataId);
  backend.disposeData(counts.dataId);
  return totals;
}

function sumCounts(backend: WebGPUBackend, counts: tf.TensorInfo): tf.TensorInfo {
  const [lines, parts] = counts.shape as [number, number];
  return dispatch(backend, {
    name: 'OwLoreSumCounts',
    variant: {},
    code: totalCode,
    inputs: [{name: 'counts', tensor: counts, components: 1}],
    uniforms: [int('parts', parts)],
    output: {shape: [lines], dtype: 'int32', components: 1},
    workgroupSize: [THREADS, 1, 1],
    workgroups: [lines, 1, 1],
  });
}

/** How a weight is divided among workgroups, and what their programs have in common. */
function planParts({weight, norm}: OwLoreMagnitudeInputs): {
  parts: number;
  common: Pick<Dispatch<Variant>, 'variant' | 'workgroupSize'> & {
    inputs: Input[];
    uniforms: Uniform[];
  };
} {
  const length = tf.util.sizeFromShape(weight.shape);
  const norms = tf.util.sizeFromShape(norm.shape);
  const columns = weight.shape.at(-1) ?? 1;
  const byRow = norms !== length;
  const wanted = Math.ceil(length / (THREADS * FEWEST_ENTRIES));
  const parts = Math.min(wanted, MAX_PARTS);
  const entries = parts === 0 ? 0 : Math.ceil(length / (THREADS * parts));
  return {
    parts,
    common: {
      variant: {byRow},
      inputs: [
        {name: 'weight', tensor: weight, components: 1},
        {name: 'norm', tensor: norm, components: 1},
      ],
      uniforms: [
        int('length', length),
        int('columns', columns),
        int('parts', parts),
        int('entries', entries),
      ],
      workgroupSize: [THREADS, 1, 1],
    },
  };
}

/** The largest float32 that is at most `x`: a float32 is above it exactly if it is above `x`. */
function roundDown(x: number): number {
  const nearest = new Float32Array([x]);
  if (!(nearest[0]! > x)) return nearest[0]!;
  // One step towards −∞: the bits of positive floats are in the order of the numbers, those of negative ones reversed.
  const bits = new Int32Array(nearest.buffer);
  if (nearest[0] === 0) return -(2 ** -149);
  bits[0]! += nearest[0]! > 0 ? -1 : 1;
  return nearest[0]!;
}
