import {AssertionError, expect} from 'chai';
import fc from 'fast-check';
import * as tf from '@tensorflow/tfjs-core';
import {streamVariableGrads, variableGrads} from '../../src/tape/tfjs_gradients';
import {describeBackends, thorough, type BackendName} from '../support/backends';
import {arbitraryNetwork, RandomNetwork} from './random_network';

/** Value and gradients by variable name, or the message of the error. */
interface Outcome {
  error?: string;
  value?: Float32Array;
  grads: Record<string, Float32Array | null>;
}

type Gradients = () => {value: tf.Scalar; grads: tf.NamedTensorMap};

const runs: Record<BackendName, number> = {
  ...{cpu: thorough ? 200 : 60, wasm: 30, tensorflow: 200},
  ...{webgpu: 0, webgl: 0},
};

describeBackends('random networks', function (backend) {
  if (runs[backend] === 0) return; // too slow, and the tape sees no difference
  this.timeout(60_000);

  it('have the gradients that the stock tape gives', async () => {
    let connected = 0;
    await fc.assert(
      fc.asyncProperty(arbitraryNetwork(), async (description) => {
        const network = new RandomNetwork(description);
        const {variables} = network;
        const plain = (): tf.Scalar => network.loss(false);
        const stock = await outcome(network, () => tf.variableGrads(plain, variables), true);

        // The same kernels run in the same order: not a bit differs.
        const lean = await outcome(network, () => variableGrads(plain, variables));
        expect(lean).to.deep.equal(stock);

        const segmented = (): tf.Scalar => network.loss(true);
        const checkpoints = await outcome(network, () => variableGrads(segmented, variables));
        expectClose(checkpoints, stock);

        // Who takes a gradient may change the variable: nothing reads it any more.
        const streamed = await outcome(network, () => takenAtOnce(segmented, variables));
        expect(streamed).to.deep.equal(checkpoints);

        if (stock.error === undefined) connected++;
        network.dispose();
      }),
      {seed: 1, numRuns: runs[backend]},
    );
    // The others have no trained variable upstream of the loss, an error on both tapes.
    expect(connected).to.be.above(runs[backend] / 2);
  });
});

/** Runs a way to take gradients on the network as it was at the start. Only what it returns may be left. */
async function outcome(network: RandomNetwork, take: Gradients, isStock = false): Promise<Outcome> {
  network.reset();
  const before = tf.memory().numTensors;
  let result: ReturnType<Gradients>;
  try {
    result = take();
  } catch (error) {
    if (error instanceof AssertionError) throw error;
    // The stock tape leaves what it has saved, and the value.
    if (!isStock) expect(tf.memory().numTensors).to.equal(before);
    return {error: (error as Error).message, grads: {}};
  }
  const {value, grads} = result;
  // A network without an op has a variable as its result.
  const isOwn = value instanceof tf.Variable;
  const tensors = Object.entries(grads as Record<string, tf.Tensor | null>);
  const taken = tensors.filter(([, gradient]) => gradient !== null).length;
  if (!isStock) expect(tf.memory().numTensors).to.equal(before + taken + (isOwn ? 0 : 1));
  const read = async (t: tf.Tensor | null): Promise<Float32Array | null> =>
    t && ((await t.data()).slice() as Float32Array);
  const outcome: Outcome = {value: (await read(value))!, grads: {}};
  for (const [name, gradient] of tensors) outcome.grads[name] = await read(gradient);
  tf.dispose(grads);
  if (!isOwn) value.dispose();
  return outcome;
}

/** Takes each gradient when it is final and spoils the variable: whatever reads it later shows. */
function takenAtOnce(loss: () => tf.Scalar, variables: tf.Variable[]): ReturnType<Gradients> {
  let result: tf.Scalar;
  const grads: tf.NamedTensorMap = {};
  for (const {name, trainable} of variables) if (!trainable) grads[name] = null as never;
  try {
    const value = streamVariableGrads(
      () => (result = loss()),
      variables,
      (variable, gradient) => {
        grads[variable.name] = tf.keep(gradient);
        const {dataId} = variable;
        if (dataId === result.dataId) return;
        tf.tidy(() => variable.assign(tf.fill(variable.shape, NaN)));
        const isHeld = tensorInfo().has(dataId);
        expect(isHeld, `${variable.name} is held, and could not be changed in place`).to.be.false;
      },
    );
    return {value, grads};
  } catch (error) {
    tf.dispose(grads);
    throw error;
  }
}

function tensorInfo(): WeakMap<object, unknown> {
  return (tf.engine() as unknown as {state: {tensorInfo: WeakMap<object, unknown>}}).state
    .tensorInfo;
}

/**
 * A checkpoint adds the gradients of what it reads several times before they are added to others: sums in another order,
 * with rounding errors of the largest terms.
 */
function expectClose(actual: Outcome, expected: Outcome): void {
  expect(actual.error).to.equal(expected.error);
  expect(actual.value).to.deep.equal(expected.value);
  expect(Object.keys(actual.grads)).to.have.members(Object.keys(expected.grads));
  const arrays = Object.values(expected.grads).flatMap((array) => array ?? []);
  const largest = Math.max(1, ...arrays.map((array) => Math.max(...array.map(Math.abs))));
  for (const [name, array] of Object.entries(expected.grads)) {
    if (array === null) {
      expect(actual.grads[name]).to.equal(null);
      continue;
    }
    array.forEach((x, i) => {
      expect(actual.grads[name]![i]!, `${name}, element ${i}`).to.be.closeTo(x, 1e-5 * largest);
    });
  }
}
