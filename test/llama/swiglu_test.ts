import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {swiglu} from '../../src/llama/swiglu';
import {describeBackends} from '../support/backends';
import * as composed from './composed';
import {expectKeepsInputs, expectSameOp, randomTensor} from './ops';

describeBackends('swiglu', () => {
  it('has values and gradients of the composition', () =>
    expectSameOp(
      (gate, up) => swiglu(gate, up),
      (gate, up) => composed.swiglu(gate, up),
      [randomTensor([2, 3, 8], 1), randomTensor([2, 3, 8], 2)],
    ));

  it('is linear far above 0 and 0 far below', async () => {
    const gate = tf.tensor1d([100, -100]);
    const slope = tf.grad((z: tf.Tensor) => swiglu(z, tf.onesLike(z)))(gate);
    const [above, below] = await slope.data();
    expect(above).to.equal(1);
    expect(below).to.be.closeTo(0, 1e-30);
    tf.dispose([gate, slope]);
  });

  it('keeps its inputs only', () => {
    const inputs = [randomTensor([2, 3, 8], 1), randomTensor([2, 3, 8], 2)];
    expectKeepsInputs((gate, up) => swiglu(gate, up), inputs);
  });
});
