import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {startMemoryMeter} from '../../src/memory/meter';
import {variableGrads} from '../../src/tape/tfjs_gradients';
import {Comparison} from '../support/close';

type Op = (...inputs: tf.Tensor[]) => tf.Tensor;

/** Values of a normal distribution, others for each seed. */
export function randomTensor(shape: number[], seed: number): tf.Tensor {
  return tf.randomNormal(shape, 0, 1, 'float32', seed);
}

/** An op has the values and gradients of another one, and leaves no tensor behind. Disposes the inputs. */
export async function expectSameOp(
  op: Op,
  reference: Op,
  inputs: tf.Tensor[],
  // single precision; two sums of some hundred products in another order
  tolerance = {rtol: 1e-4, atol: 1e-5},
): Promise<void> {
  const tensors = tf.memory().numTensors;
  const actual = op(...inputs);
  const expected = tf.tidy(() => reference(...inputs));
  const comparison = new Comparison('op', tolerance);
  comparison.add('value', await actual.data(), await expected.data());
  const dy = randomTensor(expected.shape, 99);
  const gradients = tf.grads(op)(inputs, dy);
  const expectedGradients = tf.grads(reference)(inputs, dy);
  for (const [i, gradient] of gradients.entries()) {
    expect(gradient.shape).to.deep.equal(inputs[i]!.shape);
    const where = `gradient of input ${i}`;
    comparison.add(where, await gradient.data(), await expectedGradients[i]!.data());
  }
  comparison.finish();
  tf.dispose([actual, expected, dy, gradients, expectedGradients]);
  expect(tf.memory().numTensors).to.equal(tensors);
  tf.dispose(inputs);
}

/** Between forward and backward pass an op costs the memory of its result alone. Disposes the inputs. */
export function expectKeepsInputs(op: Op, inputs: tf.Tensor[]): void {
  const meter = startMemoryMeter();
  const variables = tf.tidy(() => inputs.map((input) => tf.variable(tf.neg(input))));
  const gradients = variableGrads(() => {
    const before = meter.current();
    const y = op(...variables);
    expect(meter.current() - before).to.equal(y.size * 4);
    return tf.sum(y);
  }, variables);
  meter.stop();
  tf.dispose([inputs, variables, {...gradients}]);
}

/** The most bytes alive while an op and its gradients are computed, inputs and gradients included. */
export function peakBytes(op: Op, inputs: tf.Tensor[]): number {
  const meter = startMemoryMeter();
  const variables = tf.tidy(() => inputs.map((input) => tf.variable(tf.neg(input))));
  tf.dispose({...variableGrads(() => tf.sum(op(...variables)), variables)});
  meter.stop();
  tf.dispose([inputs, variables]);
  return meter.peak();
}
