import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {createRandom} from '../../src/common/random';

/** Numbers in [0, 1) that a seed determines. */
export function numbers(seed: number): () => number {
  const random = createRandom(seed);
  return () => random.next();
}

/** `count` values of `make`. */
export function times<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({length: count}, (_, i) => make(i));
}

/** Nearly normal, with mean 0 and variance 1: the sum of twelve uniform numbers. */
export function normal(random: () => number): number {
  return times(12, random).reduce((a, b) => a + b, -6);
}

/** Rows of one-hot vectors, float32 [...shape of indices, classes]. */
export function oneHot(indices: tf.TensorLike, classes: number): tf.Tensor {
  return tf.tidy(() =>
    tf.cast(tf.oneHot(tf.tensor(indices, undefined, 'int32'), classes), 'float32'),
  );
}

type Data = tf.Tensor | tf.Tensor[];

/** The loss of a compiled model, without its metrics. */
export async function lossOf(model: tfl.LayersModel, x: Data, y: Data): Promise<number> {
  const result = model.evaluate(x, y, {verbose: 0});
  const loss = Array.isArray(result) ? result[0]! : result;
  const value = (await loss.data())[0]!;
  tf.dispose(result);
  return value;
}

/** The number in a scalar, which is disposed of. */
export async function numberOf(scalar: tf.Tensor): Promise<number> {
  const value = (await scalar.data())[0]!;
  scalar.dispose();
  return value;
}

/** Trains by `train` and evaluates before and after. */
export async function around(
  evaluate: () => Promise<number>,
  train: () => Promise<void>,
): Promise<{before: number; after: number}> {
  const before = await evaluate();
  await train();
  return {before, after: await evaluate()};
}
