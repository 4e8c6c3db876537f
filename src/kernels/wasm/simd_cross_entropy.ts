import * as tf from '@tensorflow/tfjs-core';
import {addressOf, allocate, type KernelArgs} from './kernel';
import type {SimdModule} from './simd_module';

type CrossEntropyArgs = KernelArgs<'logits' | 'labels' | 'weights', object>;

/** OwLoreCrossEntropy. */
export function simdCrossEntropy(module: SimdModule, args: CrossEntropyArgs): tf.TensorInfo {
  const loss = allocate(args.backend, []);
  module.crossEntropy(...operands(args), addressOf(args.backend, loss));
  return loss;
}

/** OwLoreCrossEntropyGrad. */
export function simdCrossEntropyGrad(module: SimdModule, args: CrossEntropyArgs): tf.TensorInfo {
  const dLogits = allocate(args.backend, args.inputs.logits.shape);
  module.crossEntropyGradient(...operands(args), addressOf(args.backend, dLogits));
  return dLogits;
}

function operands({
  inputs: {logits, labels, weights},
  backend,
}: CrossEntropyArgs): [number, number, number, number, number] {
  const [rows, vocabulary] = logits.shape as [number, number];
  return [
    addressOf(backend, logits),
    addressOf(backend, labels),
    addressOf(backend, weights),
    rows,
    vocabulary,
  ];
}
