/** Tensors that hold the entries of a weight in another layout on their way to a matmul. */

import * as tf from '@tensorflow/tfjs-core';
import {OwLoreUnpackBfloat16} from '../../kernels/kernel_names';
import type {KernelRun} from '../../tfjs/kernels';

/** A weight, or the result of a chain of layout kernels that starts from it. */
export interface WeightView {
  /** The weight, or the tensor that has it packed. */
  weight: tf.Tensor;
  /** The shape of the weight. */
  weightShape: number[];
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

/** Knows for each tensor of a forward pass whether it is a view of one of the given weights, some of which may be packed. */
export class WeightViews {
  private readonly views = new Map<number, WeightView>();

  constructor(weights: readonly tf.Tensor[]) {
    for (const weight of weights) {
      this.add(weight, weight, weight.shape);
    }
  }

  get(tensor: tf.Tensor): WeightView | undefined {
    return this.views.get(tensor.id);
  }

  /** Records the outputs of a layout kernel whose input is a view: they are views, too. */
  follow({name, inputs, attributes, outputs}: KernelRun): void {
    if (name === OwLoreUnpackBfloat16) {
      const {packed} = inputs;
      if (this.get(packed!)) this.add(outputs[0]!, packed!, outputs[0]!.shape);
      return;
    }
    if (!layoutKernels.has(name)) return;
    const [input, tensor] = Object.entries(inputs)[0]!;
    const source = this.get(tensor);
    if (!source) return;
    outputs.forEach((tensor, output) => {
      const step = {kernel: name, input, attributes, output};
      const steps = [...source.steps, step];
      this.views.set(tensor.id, {...source, shape: tensor.shape, steps});
    });
  }

  /** Notes that a tensor is a weight in its own layout. */
  private add({id}: tf.Tensor, weight: tf.Tensor, shape: number[]): void {
    this.views.set(id, {weight, weightShape: shape, shape, steps: []});
  }
}

/**
 * Turns values in the view's layout into the weight's layout, adding up the values that belong to the same
 * entry. That is the adjoint of the chain of layout kernels, so their gradients compute it.
 */
export function inWeightLayout({weightShape, steps}: WeightView, values: tf.Tensor): tf.Tensor {
  if (steps.length === 0) return values;
  const view = (x: tf.Tensor) => steps.reduce(runStep, x);
  // of zeros, because only the places matter
  return tf.grad(view)(tf.zeros(weightShape), values);
}

function runStep(x: tf.Tensor, {kernel, input, attributes, output}: ViewStep): tf.Tensor {
  const result = tf.engine().runKernel(kernel, {[input]: x}, attributes);
  return Array.isArray(result) ? result[output]! : result;
}
