/** Tensors that hold the entries of a weight in another layout on their way to a matmul. */

import * as tf from '@tensorflow/tfjs-core';
import type {KernelRun} from '../tfjs/kernels';

/** A weight, or what a chain of layout kernels made of it. */
export interface WeightView {
  weight: tf.Tensor;
  shape: number[];
  /** The kernels that lead from the weight to this view; each has one input. */
  steps: readonly ViewStep[];
}

interface ViewStep {
  kernel: string;
  input: string;
  attributes: tf.NamedAttrMap;
  output: number;
}

/** Kernels that only move, repeat or leave out entries; tfjs has the gradient of each. */
const layoutKernels = new Set([
  tf.BroadcastTo,
  tf.Cast,
  tf.ExpandDims,
  tf.Identity,
  tf.Reshape,
  tf.Slice,
  tf.SplitV,
  tf.Tile,
  tf.Transpose,
  tf.Unpack,
]);

/** Knows of each tensor in a forward pass whether it is a view of one of some weights. */
export class WeightViews {
  private readonly views = new Map<number, WeightView>();

  constructor(weights: readonly tf.Tensor[]) {
    for (const weight of weights) {
      this.views.set(weight.id, {weight, shape: weight.shape, steps: []});
    }
  }

  get(tensor: tf.Tensor): WeightView | undefined {
    return this.views.get(tensor.id);
  }

  /** Takes note of the outputs of a layout kernel whose input is a view. */
  follow({name, inputs, attributes, outputs}: KernelRun): void {
    if (!layoutKernels.has(name)) return;
    const [input] = Object.keys(inputs);
    const source = input === undefined ? undefined : this.get(inputs[input]!);
    if (input === undefined || source === undefined) return;
    outputs.forEach((tensor, output) => {
      const step = {kernel: name, input, attributes, output};
      const steps = [...source.steps, step];
      this.views.set(tensor.id, {weight: source.weight, shape: tensor.shape, steps});
    });
  }
}

/**
 * Adds up what belongs to each entry of the weight: from a tensor in the view's layout to one in the
 * weight's. It is the adjoint of the chain of layout kernels, so their gradients do it.
 */
export function inWeightLayout({weight, steps}: WeightView, values: tf.Tensor): tf.Tensor {
  if (steps.length === 0) return values;
  const view = (x: tf.Tensor) => steps.reduce(runStep, x);
  return tf.grad(view)(weight, values);
}

function runStep(x: tf.Tensor, {kernel, input, attributes, output}: ViewStep): tf.Tensor {
  const result = tf.engine().runKernel(kernel, {[input]: x}, attributes);
  return Array.isArray(result) ? result[output]! : result;
}
