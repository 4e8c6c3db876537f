import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {OwLoreRMSNorm, OwLoreRMSNormGrad} from '../kernels/llama/kernel_names';
import {runKernel} from '../kernels/run_kernel';
import {customOp} from './custom_op';
import {onlyInput, onlyShape, weightInitializer, type LayerArgs, type WeightInit} from './layer';

/**
 * `x / √(mean(x²) + eps) · weight` over the last axis (Zhang & Sennrich 2019), for any `x` and a
 * `weight` `[width]`. Keeps only these two for the gradient.
 */
export function rmsNorm(x: tf.Tensor, weight: tf.Tensor, eps: number): tf.Tensor {
  return customOp({
    inputs: [x, weight],
    forward: () =>
      runKernel(OwLoreRMSNorm, {x, weight}, {epsilon: eps})?.[0] ??
      tf.mul(tf.mul(x, inverseRms(x, eps)), weight),
    gradient: (dy, kept, [xNeeded, weightNeeded]) => {
      const [x, weight] = kept as [tf.Tensor, tf.Tensor];
      const fused = runKernel(OwLoreRMSNormGrad, {dy, x, weight}, {epsilon: eps});
      if (fused) return fused;
      const scale = inverseRms(x, eps);
      const normalized = tf.mul(x, scale);
      const inputGradient = (): tf.Tensor => {
        const dNormalized = tf.mul(dy, weight);
        const along = tf.tidy(() => tf.mean(tf.mul(dNormalized, normalized), -1, true));
        return tf.mul(tf.sub(dNormalized, tf.mul(normalized, along)), scale);
      };
      const rows = x.shape.slice(0, -1).map((_, axis) => axis);
      const weightGradient = (): tf.Tensor => tf.sum(tf.mul(dy, normalized), rows);
      return [
        xNeeded ? tf.tidy(inputGradient) : null,
        weightNeeded ? tf.tidy(weightGradient) : null,
      ];
    },
  });
}

/** `1 / √(mean(x²) + eps)` of each row, `[…, 1]`. */
function inverseRms(x: tf.Tensor, eps: number): tf.Tensor {
  return tf.tidy(() => tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), eps)));
}

/** The factor by which a norm multiplies, from its weight. */
export function normFactor(weight: tf.Tensor, unitOffset: boolean): tf.Tensor {
  return unitOffset ? tf.add(weight, 1) : weight;
}

export interface RMSNormArgs extends LayerArgs, Pick<WeightInit, 'given'> {
  rmsNormEps: number;
  /** Whether it multiplies by 1 + its weight. */
  unitOffset: boolean;
}

/**
 * RMSNorm as a layer, the model's last norm: any shape to the same shape; weight `weight`
 * `[width]`.
 */
export class RMSNorm extends tfl.layers.Layer {
  private readonly args: RMSNormArgs;
  private weight!: tfl.LayerVariable;

  constructor(args: RMSNormArgs) {
    super(args);
    this.args = args;
  }

  static get className(): string {
    return 'LlamaRMSNorm';
  }

  override build(inputShape: tfl.Shape | tfl.Shape[]): void {
    const width = onlyShape(inputShape).at(-1)!;
    const initializer = weightInitializer(this.args, {name: 'weight', kind: 'norm'});
    this.weight = this.addWeight('weight', [width], 'float32', initializer);
    super.build(inputShape);
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Record<string, unknown>): tf.Tensor {
    return tf.tidy(() => {
      this.invokeCallHook(inputs, kwargs);
      const {rmsNormEps, unitOffset} = this.args;
      return rmsNorm(onlyInput(inputs), normFactor(this.weight.read(), unitOffset), rmsNormEps);
    });
  }

  override getConfig(): tf.serialization.ConfigDict {
    const {rmsNormEps, unitOffset} = this.args;
    return {...super.getConfig(), rmsNormEps, unitOffset};
  }
}
tf.serialization.registerClass(RMSNorm);
