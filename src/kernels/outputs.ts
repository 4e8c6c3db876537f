/** What this library's own kernels put out on each backend; `kernel_names` says what it means, `contracts` what they may be given. */
import * as tf from '@tensorflow/tfjs-core';
import {SMALL_WEIGHT, UPDATED_TOGETHER} from './capabilities';
import {
  describedBackends,
  like,
  made,
  type DescribedBackend,
  type DescribedKernel,
  type KernelInputs,
  type KernelOutput,
  type OutputRule,
} from './kernel_outputs';
import * as own from './kernel_names';
import {llamaOutputs} from './llama/outputs';

const likeMatrix: OutputRule = ({matrix}) => like(matrix!);

const ownOutputs: Readonly<Record<string, DescribedKernel>> = {
  [own.OwLoreProject]: {
    on: ['cpu', 'webgpu'],
    outputs: ({gradient, basis}, {side}: own.OwLoreProjectAttrs) =>
      made(projected(gradient!, basis!, side)),
  },
  [own.OwLoreRefresh]: {
    on: ['tensorflow'],
    outputs: (inputs, {refreshes}: own.OwLoreRefreshAttrs) =>
      refreshes.flatMap(({side}, i) => {
        const [gradient, random] = [inputs[`gradient${i}`]!, inputs[`random${i}`]!];
        return [like(random), made(projected(gradient, random, side))];
      }),
  },
  [own.OwLoreAdam]: {
    on: describedBackends,
    outputs: (inputs, {updates}: own.OwLoreAdamAttrs, backend) =>
      updates.flatMap((update, i) => adam(inputs, update, i, backend)),
  },
  [own.OwLoreAddRows]: {
    on: ['wasm', 'tensorflow', 'webgpu'],
    outputs: ({x, values}, {isSoleOwner}: own.OwLoreAddRowsAttrs, backend) => {
      if (backend === 'webgpu') {
        const isEmpty = [x!, values!].some(({shape}) => tf.util.sizeFromShape(shape) === 0);
        return {...like(x!), ...(isEmpty && {view: 'x'})};
      }
      return {...like(x!), ...((backend === 'wasm' || isSoleOwner) && {inPlace: 'x'})};
    },
  },
  [own.OwLoreAccumulate]: {
    on: ['wasm', 'tensorflow'],
    outputs: ({sum}) => ({...like(sum!), inPlace: 'sum'}),
  },
  [own.OwLoreSquaredNorm]: {on: ['cpu', 'wasm', 'tensorflow'], outputs: () => made([])},
  [own.OwLoreOrthonormalize]: {on: ['tensorflow', 'webgpu'], outputs: likeMatrix},
  [own.OwLoreNearlyOrthonormalize]: {on: ['tensorflow'], outputs: likeMatrix},
  [own.OwLoreLeftSingularVectors]: {
    on: ['tensorflow'],
    outputs: ({matrix}) => made([matrix!.shape[0]!, Math.min(...matrix!.shape)]),
  },
  [own.OwLoreMagnitudeSums]: {
    on: ['wasm', 'webgpu'],
    outputs: ({weight}, _, backend) => {
      const size = tf.util.sizeFromShape(weight!.shape);
      // a number for each row, or for each group of threads
      if (backend === 'webgpu') return made([Math.min(Math.ceil(size / 4096), 4096)]);
      return made([tf.util.sizeFromShape(weight!.shape.slice(0, -1))]);
    },
  },
  [own.OwLoreCountAbove]: {
    on: ['wasm', 'webgpu'],
    outputs: (_, {thresholds}: own.OwLoreCountAboveAttrs) => made([thresholds.length], 'int32'),
  },
  [own.OwLorePackBfloat16]: {
    on: ['webgpu'],
    outputs: ({x}) => made([Math.ceil(tf.util.sizeFromShape(x!.shape) / 2)], 'int32'),
  },
  [own.OwLoreUnpackBfloat16]: {
    on: describedBackends,
    outputs: (_, {shape}: own.OwLoreUnpackBfloat16Attrs) => made(shape),
  },
};

/** Of all kernels that tfjs does not have. */
export const outputs = {...ownOutputs, ...llamaOutputs};

function projected(
  {shape: [rows, columns]}: tf.TensorInfo,
  {shape: [, rank]}: tf.TensorInfo,
  side: own.Side,
): number[] {
  return side === 'left' ? [rank!, columns!] : [rows!, rank!];
}

/** Variable and moments of update number `i`. */
function adam(
  inputs: KernelInputs,
  {side}: own.OwLoreUpdate,
  i: number,
  backend: DescribedBackend,
): KernelOutput[] {
  const {variable, first, second} = own.updateInputs(inputs, i);
  const max = side === undefined ? SMALL_WEIGHT : UPDATED_TOGETHER;
  const isInPlace =
    backend === 'wasm' || (backend === 'tensorflow' && tf.util.sizeFromShape(variable.shape) > max);
  if (!isInPlace) return [variable, first, second].map(like);
  return [
    {...like(variable), inPlace: `variable${i}`, ...(backend === 'wasm' && {hasOwnId: true})},
    {...like(first), inPlace: `first${i}`},
    {...like(second), inPlace: `second${i}`},
  ];
}
