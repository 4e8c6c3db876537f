/** The reference numbers of a checkpoint of `test/fixtures/llama/`, and what a model makes of the same tokens. */
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {sparseCrossEntropy} from '../../src/llama';

interface Tolerance {
  rtol: number;
  atol: number;
  rms: number;
}
export interface Reference {
  cases: Record<'plain' | 'padded', {loss: number}>;
  tolerance: Record<'plain' | 'padded', Record<'logits' | 'loss' | 'grad', Tolerance>>;
  greedy: {prompt: number[]; continuation: number[]};
}

/**
 * Every value within `atol + rtol · |expected|`, and the root mean square of all differences within
 * `rms`.
 */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  {rtol, atol, rms}: Tolerance,
): void {
  expect(actual.length).to.equal(expected.length);
  let sum = 0;
  for (let i = 0; i < actual.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (!(difference <= atol + rtol * Math.abs(expected[i]!))) {
      expect.fail(`value ${i}: ${actual[i]} instead of ${expected[i]}`);
    }
    sum += difference ** 2;
  }
  expect(Math.sqrt(sum / actual.length), 'rms').to.be.at.most(rms);
}

/** Label t of the loss is label t + 1 of the fixture; the last position has none. */
export function shift(labels: ArrayLike<number>, seq: number): tf.Tensor {
  const shifted = Array.from(labels, (_, i) => ((i + 1) % seq === 0 ? -100 : labels[i + 1]!));
  return tf.tensor(shifted, [shifted.length / seq, seq], 'int32');
}

/** Gradients of the weights that are asked for, by Hugging Face name, and the loss. */
export async function gradients(
  model: tfl.LayersModel,
  ids: tf.Tensor,
  labels: tf.Tensor,
  tape: typeof tf.variableGrads,
  isAsked: (index: number) => boolean = () => true,
): Promise<{loss: number; grads: Map<string, ArrayLike<number>>}> {
  const weights = model.trainableWeights.filter((_, i) => isAsked(i));
  const {value, grads} = tape(
    () => sparseCrossEntropy(labels, model.apply(ids) as tf.Tensor),
    weights.map((weight) => weight.read() as tf.Variable),
  );
  const byName = new Map<string, ArrayLike<number>>();
  for (const {name, originalName} of weights) {
    const gradient = grads[name]!;
    const isKernel = gradient.rank === 2 && !originalName.startsWith('model.embed_tokens');
    const stored = isKernel ? tf.transpose(gradient) : tf.clone(gradient);
    byName.set(originalName.replace('/', '.'), await stored.data());
    stored.dispose();
  }
  const loss = (await value.data())[0]!;
  tf.dispose([value, grads]);
  return {loss, grads: byName};
}
