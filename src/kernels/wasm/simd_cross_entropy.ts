import * as tf from '@tensorflow/tfjs-core';
import {addressOf, allocate, type KernelArgs} from './kernel';
import type {OwLoreCrossEntropyGradAttrs} from '../llama/kernel_names';
import type {SimdModule} from './simd_module';

type CrossEntropyArgs<Attrs = object> = KernelArgs<'logits' | 'labels' | 'weights', Attrs>;

/** OwLoreCrossEntropy. */
export function simdCrossEntropy(module: SimdModule, args: CrossEntropyArgs): tf.TensorInfo {
  const loss = allocate(args.backend, []);
  module.crossEntropy({...operands(args), loss: addressOf(args.backend, loss)});
  return loss;
}

/** OwLoreCrossEntropyGrad. */
export function simdCrossEntropyGrad(
  module: SimdModule,
  args: CrossEntropyArgs<OwLoreCrossEntropyGradAttrs>,
): tf.TensorInfo[] {
  const {backend, inputs, attrs} = args;
  const dLogits = allocate(backend, inputs.logits.shape);
  const losses = attrs.withLoss ? [allocate(backend, [])] : [];
  module.crossEntropyGradient({
    ...operands(args),
    dLogits: addressOf(backend, dLogits),
    loss: losses[0] ? addressOf(backend, losses[0]) : 0,
  });
  return [dLogits, ...losses];
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
