/** Tensors that hold the entries of a weight in another layout on their way to a matmul. */

import * as tf from '@tensorflow/tfjs-core';
import type {KernelRun} from '../tfjs/kernels';

/** A weight, or the result of a chain of layout kernels that starts from it. */
export interface WeightView {
  weight: tf.Tensor;
  shape: number[];
  /** The kernels that lead from the weight to this view, in order; each has one input. */
  steps: readonly ViewStep[];
}

interface ViewStep {
  kernel: string;
  input: string;
  attributes: tf.NamedAttrMap;
  output: number;
}

/** Kernels that only move, repeat or leave out entries; tfjs has a gradient for each. */
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

/** Knows for each tensor of a forward pass whether it is a view of one of the given weights. */
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

  /** Records the outputs of a layout kernel whose input is a view: they are views, too. */
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
 * Turns values in the view's layout into the weight's layout, adding up the values that belong to the same
 * entry. That is the adjoint of the chain of layout kernels, so their gradients compute it.
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
