import * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import {addressOf, allocate, withWorkspace, type KernelArgs} from './kernel';
import type {OwLoreCrossEntropyGradAttrs} from '../llama/kernel_names';
import type {SimdModule} from './simd_module';

type CrossEntropyArgs<Attrs = object> = KernelArgs<'logits' | 'labels' | 'weights', Attrs>;

/** OwLoreCrossEntropy. */
export function simdCrossEntropy(module: SimdModule, args: CrossEntropyArgs): tf.TensorInfo {
  const {backend} = args;
  const loss = allocate(backend, []);
  const given = operands(args);
  withLosses(module, backend, given.rows, loss, (losses) =>
    module.crossEntropy({...given, losses}),
  );
  return loss;
}

/** OwLoreCrossEntropyGrad. */
export function simdCrossEntropyGrad(
  module: SimdModule,
  args: CrossEntropyArgs<OwLoreCrossEntropyGradAttrs>,
): tf.TensorInfo[] {
  const {backend, inputs, attrs} = args;
  const dLogits = allocate(backend, inputs.logits.shape);
  const given = {...operands(args), dLogits: addressOf(backend, dLogits)};
  if (!attrs.withLoss) {
    module.crossEntropyGradient({...given, losses: 0});
    return [dLogits];
  }
  const loss = allocate(backend, []);
  withLosses(module, backend, given.rows, loss, (losses) =>
    module.crossEntropyGradient({...given, losses}),
  );
  return [dLogits, loss];
}

/** Sums up what `compute` has put at an address, a float64 for each row. */
function withLosses(
  module: SimdModule,
  backend: BackendWasm,
  rows: number,
  loss: tf.TensorInfo,
  compute: (losses: number) => void,
): void {
  withWorkspace(backend, 8 * rows, (losses) => {
    compute(losses);
    module.sumOfDoubles({x: losses, size: rows, sum: addressOf(backend, loss)});
  });
}

type Operands = Record<'logits' | 'labels' | 'weights' | 'rows' | 'vocabulary', number>;

function operands({inputs: {logits, labels, weights}, backend}: CrossEntropyArgs): Operands {
  const [rows, vocabulary] = logits.shape as [number, number];
  return {
    logits: addressOf(backend, logits),
    labels: addressOf(backend, labels),
    weights: addressOf(backend, weights),
    rows,
    vocabulary,
  };
}
