import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {onlyInput, onlyShape, type LayerArgs} from './layer';

/** `x / √(mean(x²) + eps) · weight` over the last axis (Zhang & Sennrich 2019). */
export function rmsNorm(x: tf.Tensor, weight: tf.Tensor, eps: number): tf.Tensor {
  const meanSquare = tf.mean(tf.square(x), -1, true);
  return tf.mul(tf.mul(x, tf.rsqrt(tf.add(meanSquare, eps))), weight);
}

export interface RMSNormArgs extends LayerArgs {
  rmsNormEps: number;
}

/**
 * RMSNorm as a layer, the model's last norm: any shape to the same shape; weight `weight`
 * `[width]`.
 */
export class RMSNorm extends tfl.layers.Layer {
  private readonly rmsNormEps: number;
  private weight!: tfl.LayerVariable;

  constructor(args: RMSNormArgs) {
    super(args);
    this.rmsNormEps = args.rmsNormEps;
  }

  static get className(): string {
    return 'LlamaRMSNorm';
  }

  override build(inputShape: tfl.Shape | tfl.Shape[]): void {
    const width = onlyShape(inputShape).at(-1)!;
    this.weight = this.addWeight('weight', [width], 'float32', tfl.initializers.ones());
    super.build(inputShape);
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Record<string, unknown>): tf.Tensor {
    return tf.tidy(() => {
      this.invokeCallHook(inputs, kwargs);
      return rmsNorm(onlyInput(inputs), this.weight.read(), this.rmsNormEps);
    });
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), rmsNormEps: this.rmsNormEps};
  }
}
tf.serialization.registerClass(RMSNorm);
