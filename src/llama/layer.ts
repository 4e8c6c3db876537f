import type * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import type {Weight} from './architectures/weights';

/** Options of every layer of tfjs, `name` among them. */
export type LayerArgs = NonNullable<ConstructorParameters<typeof tfl.layers.Layer>[0]>;

/** How a layer makes its initial weights. */
export interface WeightInit {
  /** Standard deviation of the normal distribution of kernels. */
  initializerRange: number;
  /** Seed of the layer's first kernel, or null for kernels that differ each time. */
  seed: number | null;
  /** Whether a norm multiplies by 1 + its weight. */
  unitOffset?: boolean;
  /** Gives the weights; nothing is drawn then. */
  given?: GivenWeights;
  /** Called with each matrix as soon as its layer has it, by its name in Hugging Face's checkpoints. */
  onKernel?: (name: string, weight: tfl.LayerVariable) => void;
}

/**
 * Gives each weight when its layer is built, by its name in Hugging Face's checkpoints. The layer's
 * variable shares its memory, and the tensor itself is disposed of.
 */
export type GivenWeights = (name: string) => tf.Tensor;

type Initializer = ReturnType<typeof tfl.initializers.randomNormal>;

/** The initializer of a layer's weight; `index` numbers the kernels of a layer, so that they differ. */
export function weightInitializer(
  {initializerRange, seed, given, unitOffset, name: layer}: Partial<WeightInit> & LayerArgs,
  {name, kind}: Pick<Weight, 'name' | 'kind'>,
  index = 0,
): Initializer {
  if (given) {
    const initializer = tfl.initializers.zeros();
    initializer.apply = () => given(`${layer}.${name}`);
    return initializer;
  }
  if (kind === 'norm' && !unitOffset) return tfl.initializers.ones();
  if (kind === 'norm' || kind === 'bias') return tfl.initializers.zeros();
  return tfl.initializers.randomNormal({
    stddev: initializerRange,
    seed: seed == null ? undefined : seed + index,
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
