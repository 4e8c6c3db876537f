import type * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';

/** Options of every layer of tfjs, `name` among them. */
export type LayerArgs = NonNullable<ConstructorParameters<typeof tfl.layers.Layer>[0]>;

/** How a layer draws its initial kernels. */
export interface KernelInit {
  /** Standard deviation of the normal distribution. */
  initializerRange: number;
  /** Seed of the layer's first kernel, or null for kernels that differ each time. */
  seed: number | null;
  /** What to start from in place of random kernels. */
  kernels?: GivenKernels;
}

/**
 * Gives each kernel when its layer is built, by the layer's name and the kernel's number in it. The
 * layer's variable shares its memory, and the tensor itself is disposed of.
 */
export type GivenKernels = (layer: string, index: number) => tf.Tensor;

type Initializer = ReturnType<typeof tfl.initializers.randomNormal>;

/** Initializer of kernel `index` of a layer; kernels of one layer differ. */
export function kernelInitializer(
  {initializerRange, seed, kernels, name}: KernelInit & LayerArgs,
  index = 0,
): Initializer {
  if (kernels) {
    const given = tfl.initializers.zeros();
    given.apply = () => kernels(name!, index);
    return given;
  }
  return tfl.initializers.randomNormal({
    stddev: initializerRange,
    seed: seed === null ? undefined : seed + index,
  });
}

/** The only input of a layer. */
export function onlyInput(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
  return Array.isArray(inputs) ? inputs[0]! : inputs;
}

/** The only input shape of a layer. */
export function onlyShape(shape: tfl.Shape | tfl.Shape[]): tfl.Shape {
  return (Array.isArray(shape[0]) ? shape[0] : shape) as tfl.Shape;
}
