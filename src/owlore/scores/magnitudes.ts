import * as tf from '@tensorflow/tfjs-core';
import type {LayerVariable} from '@tensorflow/tfjs-layers/dist/variables';
import {OwLoreCountAbove, OwLoreMagnitudeSums} from '../../kernels/kernel_names';
import {runKernel} from '../../kernels/run_kernel';

/** The entries A_ij = ‖X_j‖₂·|W_ij| of one weight (Eq. 2 of the OwLore paper). */
export interface Magnitudes {
  /** How many there are. */
  readonly size: number;
  /** Their sum, precise enough for a mean. */
  sum(): Promise<number>;
  /** How many entries are above each of the thresholds. */
  countAbove(thresholds: readonly number[]): Promise<number[]>;
  dispose(): void;
}

/**
 * The magnitudes of `weight` with the norms `norm` of the same shape; it takes over `norm` and disposes of it. Summed and
 * counted on the device if the backend has kernels for it, else on the host.
 */
export async function magnitudesOf(weight: LayerVariable, norm: tf.Tensor): Promise<Magnitudes> {
  const value = weight.read();
  const made = value instanceof tf.Variable ? undefined : value; // of a weight that is packed
  const sums = runKernel(OwLoreMagnitudeSums, {weight: value, norm});
  if (sums) return onDevice(value, norm, [norm, sums[0]!, made], sums[0]!);
  const magnitudes = tf.tidy(() => tf.mul(norm, tf.abs(value)));
  tf.dispose([norm, made]);
  const values = (await magnitudes.data()) as Float32Array;
  magnitudes.dispose();
  return onHost(values);
}

/** In float64 on the host, because the count depends on an exact comparison. */
function onHost(values: Float32Array): Magnitudes {
  return {
    size: values.length,
    sum: () => Promise.resolve(values.reduce((sum, value) => sum + value, 0)),
    countAbove: (thresholds) =>
      Promise.resolve(
        thresholds.map((threshold) => {
          let count = 0;
          for (const value of values) if (value > threshold) count++;
          return count;
        }),
      ),
    dispose: () => undefined,
  };
}

function onDevice(
  weight: tf.Tensor,
  norm: tf.Tensor,
  owned: tf.TensorContainer,
  sums: tf.Tensor,
): Magnitudes {
  return {
    size: weight.size,
    sum: async () => (await sums.data<'float32'>()).reduce((sum, part) => sum + part, 0),
    async countAbove(thresholds) {
      const [counts] = runKernel(OwLoreCountAbove, {weight, norm}, {thresholds})!;
      const values = Array.from(await counts!.data<'int32'>());
      counts!.dispose();
      return values;
    },
    dispose: () => tf.dispose(owned),
  };
}
