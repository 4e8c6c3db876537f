import * as tf from '@tensorflow/tfjs-core';
import {computedFeatures, type BlockFeature} from '../kernels/llama/block_features';
import {mayRun} from '../kernels/products';
import {hasKernel, runKernel} from '../kernels/run_kernel';
import {sayOnce} from '../common/say_once';
import {customOp} from './custom_op';

/** The kernel of a kernel's gradients. */
const gradientOf = (kernelName: string): string => `${kernelName}Grad`;

/** Whether the current backend has a kernel, and its gradient kernel, that {@link computes} all features that a block needs. */
export function canRun(kernelName: string, needed: readonly BlockFeature[]): boolean {
  return hasKernel(gradientOf(kernelName)) && computes(kernelName, needed);
}

/**
 * Whether the current backend has a kernel that computes all features that a block needs. Logs, once for each backend, which
 * features its kernels do not compute.
 */
export function computes(kernelName: string, needed: readonly BlockFeature[]): boolean {
  if (!hasKernel(kernelName) || !mayRun(kernelName)) return false;
  const missing = needed.filter((feature) => !computedFeatures[kernelName]!.includes(feature));
  missing.forEach(sayMissing);
  return missing.length === 0;
}

function sayMissing(feature: BlockFeature): void {
  sayOnce(
    'info',
    `tfjs-owlore/llama: not all kernels for ${tf.getBackend()} compute ${feature}; a model with that runs these parts of its ` +
      'blocks op by op: the same results, more slowly',
  );
}

/** An op that one kernel computes; another kernel, with the same name and `Grad`, computes its gradients. */
export interface KernelOp {
  /** One that {@link canRun} allows. */
  kernelName: string;
  /** `x` first, then the weights; in the order of their gradients. */
  inputs: Record<string, tf.Tensor>;
  constants: Record<string, tf.Tensor>;
  attrs: object;
  /** The attribute that tells the gradient kernel, beside `attrs`, whether the gradients of the weights are asked for. */
  weightsAttr: string;
  /** The names under which the gradient kernel takes the results, the value first; null for a result that it does not read. */
  results: ReadonlyArray<string | null>;
  /** Whether the kernel has the attribute `withoutValue`: whether it may leave out the value. Default false. */
  mayOmitValue?: boolean;
  /** Called with the results, in the order of their names. */
  onResults?: (results: tf.Tensor[]) => void;
  /** For a kernel with any number of further results: their names are this and a number from 0 on. */
  furtherResults?: string;
}

/** Runs such an op. */
export function kernelOp(op: KernelOp): tf.Tensor {
  const {kernelName, inputs, constants, attrs, weightsAttr, results, furtherResults} = op;
  const {mayOmitValue = false, onResults} = op;
  const given = {...inputs, ...constants};
  return customOp({
    inputs: Object.values(inputs),
    kept: Object.values(given),
    keepsResults: true,
    forward: (isValueNeeded) => {
      const all = {...attrs, ...(mayOmitValue && {withoutValue: !isValueNeeded})};
      const outputs = runKernel(kernelName, given, all) as [tf.Tensor, ...tf.Tensor[]];
      onResults?.(outputs);
      return outputs;
    },
    gradient: (dy, kept, [, ...weightsNeeded]) => {
      const known = [...Object.keys(given), ...results];
      const further = kept.slice(known.length).map((_, i) => `${furtherResults}${i}`);
      const names = [...known, ...further];
      const read = names.flatMap((name, i) => (name === null ? [] : [[name, kept[i]!] as const]));
      const gradientAttrs = {...attrs, [weightsAttr]: weightsNeeded.includes(true)};
      return runKernel(gradientOf(kernelName), {dy, ...Object.fromEntries(read)}, gradientAttrs)!;
    },
  });
}
