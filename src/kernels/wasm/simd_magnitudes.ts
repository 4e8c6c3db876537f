import * as tf from '@tensorflow/tfjs-core';
import type {OwLoreCountAboveAttrs} from '../kernel_names';
import {addressOf, allocate, type KernelArgs} from './kernel';
import type {SimdModule} from './simd_module';

type MagnitudeArgs<Attrs> = KernelArgs<'weight' | 'norm', Attrs>;

/** OwLoreMagnitudeSums: one sum per row, added up in float64. */
export function simdMagnitudeSums(module: SimdModule, args: MagnitudeArgs<object>): tf.TensorInfo {
  const {backend} = args;
  const operands = operandsOf(args);
  const sums = allocate(backend, [operands.rows]);
  module.magnitudeSums({...operands, sums: addressOf(backend, sums)});
  return sums;
}

/** OwLoreCountAbove. */
export function simdCountAbove(
  module: SimdModule,
  args: MagnitudeArgs<OwLoreCountAboveAttrs>,
): tf.TensorInfo {
  const {backend, attrs} = args;
  const operands = operandsOf(args);
  const counts = attrs.thresholds.map((threshold) => module.countAbove({...operands, threshold}));
  const out = allocate(backend, [counts.length], 'int32');
  backend.typedArrayFromHeap(out).set(counts);
  return out;
}

function operandsOf({inputs: {weight, norm}, backend}: MagnitudeArgs<object>): {
  weight: number;
  norm: number;
  rows: number;
  columns: number;
  isWide: boolean;
} {
  const {shape} = weight;
  const columns = shape.at(-1) ?? 1;
  const rows = tf.util.sizeFromShape(shape.slice(0, -1));
  const norms = tf.util.sizeFromShape(norm.shape);
  const addresses = {weight: addressOf(backend, weight), norm: addressOf(backend, norm)};
  return {...addresses, rows, columns, isWide: norms === rows * columns};
}
