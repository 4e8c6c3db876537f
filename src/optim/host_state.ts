import * as tf from '@tensorflow/tfjs-core';
import {fromBfloat16, toBfloat16} from '../files/half_precision';
import type {Turning, VariableState} from './state';

/** Numbers of a tensor in host memory: float32, or the bits of bfloat16. */
interface HostTensor {
  shape: number[];
  values: Float32Array | Uint16Array;
}

/** The state of a frozen variable in host memory, without sums of gradients, which a frozen variable does not have. */
export interface HostState {
  moments: {first: HostTensor; second: HostTensor} | null;
  basis: HostTensor | null;
  limit: HostTensor | null;
  turning: Turning | null;
  adamSteps: number;
  basisSteps: number;
}

/**
 * Copies a state to the host and frees its tensors.
 *
 * @param isHalf Whether the moments are rounded to bfloat16. A basis stays float32: rounded, its columns would no longer be
 *   orthogonal.
 */
export function toHost(state: VariableState, isHalf: boolean): HostState {
  const {moments, basis, limit, ...others} = state;
  return {
    moments: moments && {
      first: readBack(moments.first, isHalf),
      second: readBack(moments.second, isHalf),
    },
    basis: basis && readBack(basis, false),
    limit: limit && readBack(limit, false),
    turning: others.turning,
    adamSteps: others.adamSteps,
    basisSteps: others.basisSteps,
  };
}

/** The state on the current backend again; its tensors are kept. */
export function toDevice({
  moments,
  basis,
  limit,
  ...others
}: HostState): Omit<VariableState, 'gradientSum' | 'projectedSum'> {
  return {
    moments: moments && {first: upload(moments.first), second: upload(moments.second)},
    basis: basis && (upload(basis) as tf.Tensor2D),
    limit: limit && upload(limit),
    ...others,
  };
}

/** Bytes of a state in host memory. */
export function hostBytes({moments, basis, limit}: HostState): number {
  const tensors = [moments?.first, moments?.second, basis, limit];
  return tensors.reduce((sum, tensor) => sum + (tensor?.values.byteLength ?? 0), 0);
}

function readBack(tensor: tf.Tensor, isHalf: boolean): HostTensor {
  const values = tensor.dataSync<'float32'>();
  tensor.dispose();
  return {shape: tensor.shape, values: isHalf ? toBfloat16(values) : values};
}

function upload({shape, values}: HostTensor): tf.Tensor {
  const numbers = values instanceof Uint16Array ? fromBfloat16(values) : values;
  return tf.keep(tf.tensor(numbers, shape, 'float32'));
}
