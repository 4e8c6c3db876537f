import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {gatedProjection} from '../../src/llama/mlp';
import {collectGradients} from '../../src/tape/gradients';
import {describeBackends} from '../support/backends';
import {Comparison} from '../support/close';
import * as composed from '../../tools/composed';
import {expectKeepsInputs, expectSameOp, randomTensor} from './ops';

type Op = (...inputs: tf.Tensor[]) => tf.Tensor;
const inputs = (): tf.Tensor[] => [
  randomTensor([6, 8], 1),
  randomTensor([6, 8], 2),
  randomTensor([8, 5], 3),
];

const composedOps = {silu: composed.swiglu, gelu: composed.geglu};

describeBackends('gatedProjection', () => {
  for (const activation of ['silu', 'gelu'] as const) {
    describe(activation, () => testActivation(activation));
  }
});

function testActivation(activation: 'silu' | 'gelu'): void {
  const op: Op = (gate, up, down) => gatedProjection(gate, up, down, activation);
  const reference: Op = (gate, up, down) => tf.matMul(composedOps[activation](gate, up), down);

  it('has values and gradients of the composition', () => expectSameOp(op, reference, inputs()));

  it('is linear far above 0 and 0 far below', async () => {
    const gate = tf.tensor2d([[100, -100]]);
    const [up, down] = [tf.ones([1, 2]), tf.ones([2, 1])];
    const slope = tf.grad((z: tf.Tensor) => op(z, up, down))(gate);
    const [above, below] = await slope.data();
    expect(above).to.equal(1);
    expect(below).to.be.closeTo(0, 1e-30);
    tf.dispose([gate, up, down, slope]);
  });

  it('keeps its inputs only', () => expectKeepsInputs(op, inputs()));

  it('has the gradients that are asked for, if some are not', async () => {
    const [gate, up, down] = inputs() as [tf.Tensor, tf.Tensor, tf.Tensor];
    const before = tf.memory().numTensors;
    const stock = tf.grads(reference)([gate, up, down]);
    for (const asked of [[down], [gate, up]]) {
      const {value, grads} = collectGradients(() => op(gate, up, down), asked);
      for (const [i, x] of asked.entries()) {
        const comparison = new Comparison('gradient', {rtol: 1e-4, atol: 1e-5});
        const expected = stock[[gate, up, down].indexOf(x)]!;
        comparison.add(String(i), await grads[i]!.data(), await expected.data());
        comparison.finish();
      }
      tf.dispose([value, ...(grads as tf.Tensor[])]);
    }
    tf.dispose(stock);
    expect(tf.memory().numTensors).to.equal(before);
    tf.dispose([gate, up, down]);
  });
}
