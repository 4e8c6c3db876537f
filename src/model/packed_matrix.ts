import * as tf from '@tensorflow/tfjs-core';
import type {LayerVariable} from '@tensorflow/tfjs-layers/dist/variables';
import {
  OwLorePackedMatMul,
  OwLoreUnpackRows,
  OwLoreUnpackWindow,
} from '../kernels/llama/kernel_names';
import {hasKernel, runKernel} from '../kernels/run_kernel';
import {shareData} from '../tfjs/engine';
import {cannotWiden, packedWeight} from './packed_weight';

/** Whether the current backend multiplies with packed matrices as they are. */
export function multipliesPacked(): boolean {
  return hasKernel(OwLorePackedMatMul);
}

/** A matrix that is packed, of which parts can be had in float32. */
export class PackedMatrix {
  constructor(
    private readonly packed: tf.Tensor,
    readonly shape: readonly [rows: number, columns: number],
    private readonly name: string,
  ) {}

  /** The rows that `ids` name, `[…, columns]`. */
  rows(ids: tf.Tensor): tf.Tensor {
    const columns = this.shape[1];
    return this.result(runKernel(OwLoreUnpackRows, {packed: this.packed, ids}, {columns}));
  }

  /** `shape` rows and columns from the entry `begin` on. */
  window(begin: [number, number], shape: [number, number]): tf.Tensor2D {
    const attrs = {columns: this.shape[1], begin, shape};
    return this.result(runKernel(OwLoreUnpackWindow, {packed: this.packed}, attrs)) as tf.Tensor2D;
  }

  /** `x` `[n, …]` times the matrix, or its transpose, without widening it; null where the backend cannot ({@link multipliesPacked}). */
  product(x: tf.Tensor2D, transposed: boolean): tf.Tensor2D | null {
    const attrs = {shape: this.shape, transposed};
    const results = runKernel(OwLorePackedMatMul, {x, packed: this.packed}, attrs);
    return results && (results[0] as tf.Tensor2D);
  }

  private result(outputs: tf.Tensor[] | null): tf.Tensor {
    if (!outputs) throw cannotWiden(this.name);
    return outputs[0]!;
  }
}

/** A weight as its layer computes with it: its variable or, while it is packed, what gives parts of it. */
export function matrixOf(weight: LayerVariable): tf.Tensor | PackedMatrix {
  const packed = packedWeight(weight);
  if (!packed?.isPacked) return weight.read();
  return new PackedMatrix(packed.source, weight.shape as [number, number], weight.name);
}

/** The bfloat16 of a weight on the host, in memory that may be the tensor's own; null while it is not packed. */
export async function halvesOf(weight: LayerVariable): Promise<Uint16Array | null> {
  const packed = packedWeight(weight);
  if (!packed?.isPacked) return null;
  const words = await packed.source.data<'int32'>();
  return new Uint16Array(words.buffer, words.byteOffset, packed.variable.size);
}

/** What gives a new variable, which is to be packed at once, its shape: a tensor of this shape with the data of one number. */
export function placeholder(shape: number[]): tf.Tensor {
  const number = tf.scalar(0);
  const shared = shareData(new tf.Tensor(shape, number.dtype, number.dataId, -1));
  number.dispose();
  return shared;
}
