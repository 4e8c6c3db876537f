import * as tf from '@tensorflow/tfjs-core';
import {addressOf, allocate, type KernelArgs} from './kernel';
import type {SimdModule} from './simd_module';

type CrossEntropyArgs = KernelArgs<'logits' | 'labels' | 'weights', object>;

/** OwLoreCrossEntropy. */
export function simdCrossEntropy(module: SimdModule, args: CrossEntropyArgs): tf.TensorInfo {
  const loss = allocate(args.backend, []);
  module.crossEntropy({...operands(args), loss: addressOf(args.backend, loss)});
  return loss;
}

/** OwLoreCrossEntropyGrad. */
export function simdCrossEntropyGrad(module: SimdModule, args: CrossEntropyArgs): tf.TensorInfo {
  const dLogits = allocate(args.backend, args.inputs.logits.shape);
  module.crossEntropyGradient({...operands(args), dLogits: addressOf(args.backend, dLogits)});
  return dLogits;
}

type Operands = Record<'logits' | 'labels' | 'weights' | 'rows' | 'vocabulary', number>;

function operands({inputs: {logits, labels, weights}, backend}: CrossEntropyArgs): Operands {
  const [rows, vocabulary] = logits.shape as [number, number];
  return {
    logits: addressOf(backend, logits),
    labels: addressOf(backend, labels),
    weights: addressOf(backend, weights),
    ...{rows, vocabulary},
  };
}
