import type * as tf from '@tensorflow/tfjs-core';
import {runKernel} from '../kernels/run_kernel';
import {customOp} from './custom_op';

/** An op that one kernel computes, and another one its gradients. */
export interface KernelOp {
  kernelName: string;
  gradientName: string;
  /** `x` first, then the weights; in the order of their gradients. */
  inputs: Record<string, tf.Tensor>;
  constants: Record<string, tf.Tensor>;
  attrs: object;
  /** What says to the gradients' kernel, beside `attrs`, whether those of the weights are asked for. */
  weightsAttr: string;
  /** Names of the kernel's results, the value first, for the gradients' kernel; null for one that it does not read. */
  results: ReadonlyArray<string | null>;
  /** Of a kernel with any number of further results what they are called, before a number from 0 on. */
  furtherResults?: string;
}

/** Runs such an op. */
export function kernelOp(op: KernelOp): tf.Tensor {
  const {kernelName, gradientName, inputs, constants, attrs, weightsAttr, results, furtherResults} =
    op;
  const given = {...inputs, ...constants};
  return customOp({
    inputs: Object.values(inputs),
    kept: Object.values(given),
    keepsResults: true,
    forward: () => runKernel(kernelName, given, {...attrs}) as [tf.Tensor, ...tf.Tensor[]],
    gradient: (dy, kept, [, ...weightsNeeded]) => {
      const known = [...Object.keys(given), ...results];
      const further = kept.slice(known.length).map((_, i) => `${furtherResults}${i}`);
      const names = [...known, ...further];
      const read = names.flatMap((name, i) => (name === null ? [] : [[name, kept[i]!] as const]));
      const gradientAttrs = {...attrs, [weightsAttr]: weightsNeeded.includes(true)};
      return runKernel(gradientName, {dy, ...Object.fromEntries(read)}, gradientAttrs)!;
    },
  });
}
