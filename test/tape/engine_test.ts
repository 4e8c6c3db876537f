import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {variableGrads} from '../../src';
import {captureWarnings} from '../support/warnings';

describe('an engine that the tape does not know', () => {
  // The tape needs this method to hold tensors; tfjs's own tape does without it.
  const engine = tf.engine() as unknown as {incRef?: unknown};
  before(async () => {
    await tf.setBackend('cpu');
  });
  afterEach(() => delete engine.incRef);

  it("is named in one warning, and tfjs's own tape is used", async () => {
    const w = tf.variable(tf.tensor1d([1, 2]));
    const loss = (): tf.Scalar => tf.sum(tf.square(w));
    engine.incRef = undefined;
    let result!: ReturnType<typeof variableGrads>;
    const warnings = captureWarnings(() => {
      result = variableGrads(loss, [w]);
      tf.dispose([result.value, result.grads]);
      result = variableGrads(loss, [w]);
    });
    expect(warnings).to.have.lengthOf(1);
    expect(warnings[0]).to.include(`tfjs-core ${tf.version_core} is built otherwise than 4.22`);
    expect(await result.grads[w.name]!.data()).to.deep.equal(new Float32Array([2, 4]));
    tf.dispose([w, result.value, result.grads]);
  });
});
