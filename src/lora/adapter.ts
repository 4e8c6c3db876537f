import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {randomNormal, randomUniform} from '../kernels/host_tensors';
import {packedWeight} from '../model/packed_weight';
import {shareData, tidy} from '../tfjs/engine';
import {variableOf} from '../tfjs/models';
import type {Random} from '../common/random';
import type {Matrix} from './matrices';

/** A low-rank change of one matrix W: `W + scale · A·B`. */
export class Adapter {
  /** `[in, rank]`. */
  readonly a: tfl.LayerVariable;
  /** `[rank, out]`. */
  readonly b: tfl.LayerVariable;
  /** The values of W while it has those of the sum; null while it is itself. */
  private original: tf.Tensor | null = null;

  constructor(
    readonly matrix: Matrix,
    rank: number,
    /** α / rank. */
    readonly scale: number,
    random: Random,
  ) {
    const {layer, isEmbedding, weight} = matrix;
    const [rows, columns] = weight.shape as [number, number];
    // as peft: one of the two is 0, so that W is unchanged at first
    const seed = random.next();
    [this.a, this.b] = tidy('adapter', () => {
      const [a, b] = isEmbedding
        ? [tf.fill([rows, rank], 0), randomNormal([rank, columns], 1, seed)]
        : [kaimingUniform(rows, rank, seed), tf.fill([rank, columns], 0)];
      const inLayer = weight.originalName.split('/').at(-1)!;
      const prefix = inLayer.endsWith('.weight') ? inLayer.replace(/weight$/, '') : `${inLayer}.`;
      const name = (part: string): string => `${layer.name}/${prefix}${part}`;
      return [
        new tfl.LayerVariable(a, 'float32', name('lora_A')),
        new tfl.LayerVariable(b, 'float32', name('lora_B')),
      ] as const;
    });
  }

  /** Puts the sum into W, whose values are kept. Nothing is changed if there is no memory for the sum. */
  merge(): void {
    const {weight} = this.matrix;
    const original = shareData(packedWeight(weight)?.source ?? variableOf(weight));
    try {
      tf.tidy(() => addProduct(weight, this.a.read(), this.b.read(), this.scale));
    } catch (error) {
      original.dispose();
      throw error;
    }
    this.original = original;
  }

  /** Gives W the values that it had, to the last bit. */
  unmerge(): void {
    const {original} = this;
    if (!original) return;
    this.original = null;
    const packed = packedWeight(this.matrix.weight);
    // a packed weight is int32, two bfloat16 values in each
    if (packed && original.dtype === 'int32') packed.keep(original);
    else {
      assign(this.matrix.weight, original);
      original.dispose();
    }
  }

  /** Frees A, B and, if W has the sum, its former values; what a disposed model has freed is left alone. */
  dispose(): void {
    for (const weight of [this.a, this.b]) if (!variableOf(weight).isDisposed) weight.dispose();
    this.original?.dispose();
    this.original = null;
  }
}

/** Puts `W + scale · A·B` in the place of W. */
export function addProduct(
  weight: tfl.LayerVariable,
  a: tf.Tensor,
  b: tf.Tensor,
  scale: number,
): void {
  const change = tf.mul(tf.matMul(a as tf.Tensor2D, b as tf.Tensor2D), scale);
  assign(weight, tf.add(weight.read(), change));
}

/** Gives a weight float32 values, whatever its constraint says. */
function assign(weight: tfl.LayerVariable, value: tf.Tensor): void {
  const packed = packedWeight(weight);
  if (packed) packed.assign(value, null);
  else variableOf(weight).assign(value);
}

/** PyTorch's `kaiming_uniform_` with a = √5 (He et al. 2015) for a linear map of `fanIn` inputs: uniform in ±1/√fanIn. */
function kaimingUniform(fanIn: number, columns: number, seed: number): tf.Tensor {
  const bound = 1 / Math.sqrt(fanIn);
  return randomUniform([fanIn, columns], -bound, bound, seed);
}
