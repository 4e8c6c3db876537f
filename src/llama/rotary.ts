import * as tf from '@tensorflow/tfjs-core';
import type {RopeScaling} from './architectures/model_options';
import {customOp} from './custom_op';

/** What sets the angles of a rotary embedding. */
export interface RotaryOptions {
  headDim: number;
  ropeTheta: number;
  ropeScaling: RopeScaling | null;
}

/**
 * Radians per position of each of the `headDim / 2` pairs: `ropeTheta^(−2i / headDim)` (Su et al.
 * 2021, RoFormer), long wavelengths stretched where `ropeScaling` says so.
 */
export function rotaryFrequencies({headDim, ropeTheta, ropeScaling}: RotaryOptions): number[] {
  const plain = Array.from({length: headDim / 2}, (_, i) => ropeTheta ** ((-2 * i) / headDim));
  return ropeScaling ? plain.map((frequency) => stretch(frequency, ropeScaling)) : plain;
}

/**
 * LLaMA 3.1's rule: short wavelengths stay, long ones grow by `factor`, those between are
 * interpolated.
 */
function stretch(frequency: number, scaling: RopeScaling): number {
  const {factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings} = scaling;
  const cycles = (originalMaxPositionEmbeddings * frequency) / (2 * Math.PI);
  const kept = (cycles - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
  const keptShare = Math.min(Math.max(kept, 0), 1);
  return frequency * (keptShare + (1 - keptShare) / factor);
}

/** Cosines and sines of angles, each `[length, headDim / 2]`, or `[rows, 1, length, headDim / 2]`. */
export interface RotaryTable {
  cos: tf.Tensor;
  sin: tf.Tensor;
}

/**
 * The table of `length` positions, rounded from double precision.
 *
 * @param firsts The first position of each row; default 0 in all.
 */
export function rotaryTable(
  length: number,
  options: RotaryOptions,
  firsts: readonly number[] = [0],
): RotaryTable {
  const areEqual = firsts.every((first) => first === firsts[0]);
  const rows = areEqual ? firsts.slice(0, 1) : firsts;
  const {cos, sin, halfDim} = tableValues(length, options, rows);
  const shape = areEqual ? [length, halfDim] : [rows.length, 1, length, halfDim];
  return {cos: tf.tensor(cos, shape), sin: tf.tensor(sin, shape)};
}

/** Tables of single positions, for the blocks of a model that all read the next ones of the same rows; to be disposed of after them. */
export class RotaryTables {
  private readonly made = new Map<string, RotaryTable>();

  /** The table of a position of each row, `[rows, headDim / 2]`; `[1, headDim / 2]` if it is the same in all. */
  at(positions: readonly number[], options: RotaryOptions): RotaryTable {
    const {headDim, ropeTheta, ropeScaling} = options;
    const key = JSON.stringify([positions, headDim, ropeTheta, ropeScaling]);
    let table = this.made.get(key);
    if (!table) {
      table = tf.tidy(() => {
        const {cos, sin} = rotaryTable(1, options, positions);
        const asRows = (x: tf.Tensor): tf.Tensor => tf.keep(tf.reshape(x, [-1, headDim / 2]));
        return {cos: asRows(cos), sin: asRows(sin)};
      });
      this.made.set(key, table);
    }
    return table;
  }

  dispose(): void {
    for (const {cos, sin} of this.made.values()) tf.dispose([cos, sin]);
    this.made.clear();
  }
}

interface TableValues {
  key: string;
  halfDim: number;
  cos: Float32Array;
  sin: Float32Array;
}

/** The values of the last two tables: all blocks of a model ask for the same one, or for one of two. */
let lastValues: TableValues[] = [];

function tableValues(
  length: number,
  options: RotaryOptions,
  firsts: readonly number[],
): TableValues {
  const {headDim, ropeTheta, ropeScaling} = options;
  const key = JSON.stringify([firsts, length, headDim, ropeTheta, ropeScaling]);
  let values = lastValues.find((values) => values.key === key);
  if (!values) {
    const frequencies = rotaryFrequencies(options);
    const angles = firsts.flatMap((first) =>
      Array.from({length}, (_, i) => frequencies.map((f) => (first + i) * f)),
    );
    const [cos, sin] = [Math.cos, Math.sin].map((f) => Float32Array.from(angles.flat(), f));
    values = {key, halfDim: frequencies.length, cos: cos!, sin: sin!};
    lastValues = [values, ...lastValues.slice(0, 1)];
  }
  return values;
}

/**
 * Rotates `x` by the angles of a table of as many positions: `[…, length, headDim]`; `[rows, heads, length, headDim]` where the
 * table has rows. As in Hugging Face's checkpoints, dimension i makes a pair with dimension i + headDim / 2. Keeps the table for
 * the gradient, which rotates back.
 */
export function rotate(x: tf.Tensor, {cos, sin}: RotaryTable): tf.Tensor {
  return customOp({
    inputs: [x],
    kept: [cos, sin],
    forward: () => rotatePairs(x, cos, sin),
    gradient: (dy, [cos, sin]) => [rotatePairs(dy, cos!, tf.neg(sin!))],
  });
}

function rotatePairs(x: tf.Tensor, cos: tf.Tensor, sin: tf.Tensor): tf.Tensor {
  const [first, second] = tf.split(x, 2, -1) as [tf.Tensor, tf.Tensor];
  return tf.concat(
    [
      tf.sub(tf.mul(first, cos), tf.mul(second, sin)),
      tf.add(tf.mul(second, cos), tf.mul(first, sin)),
    ],
    -1,
  );
}
