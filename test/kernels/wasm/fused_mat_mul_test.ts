import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {describeWasm, expectSameAsCpu, randomOperand, seeds} from './compare';
import {fuzz} from '../../support/fuzz';

const dimension = fc.constantFrom(1, 3, 17, 50);
const activations = ['linear', 'relu', 'relu6', 'elu', 'sigmoid', 'prelu', 'leakyrelu'] as const;

describeWasm('_FusedMatMul on wasm', () => {
  it('is product, bias and activation of the cpu backend', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          batchA: fc.constantFrom(1, 2),
          batchB: fc.constantFrom(1, 2),
          rows: dimension,
          inner: dimension,
          columns: dimension,
          transposeA: fc.boolean(),
          transposeB: fc.boolean(),
          biased: fc.boolean(),
          activation: fc.constantFrom(...activations),
          seed: seeds,
        }),
        async (c) => {
          const a = c.transposeA ? [c.batchA, c.inner, c.rows] : [c.batchA, c.rows, c.inner];
          const b = c.transposeB ? [c.batchB, c.columns, c.inner] : [c.batchB, c.inner, c.columns];
          const shapes = [a, b, [c.columns], [c.columns]];
          await expectSameAsCpu(
            shapes.map((shape, i) => randomOperand(shape, c.seed + i)),
            (x, y, bias, alpha) =>
              tf.fused.matMul({
                a: x,
                b: y,
                transposeA: c.transposeA,
                transposeB: c.transposeB,
                bias: c.biased ? bias : undefined,
                activation: c.activation,
                preluActivationWeights: c.activation === 'prelu' ? alpha : undefined,
                leakyreluAlpha: 0.2,
              }),
          );
        },
      ),
      fuzz(150),
    ));

  it('has the gradients of the cpu backend', async () => {
    const operands = [[17, 19], [19, 23], [23]].map((shape, i) => randomOperand(shape, i + 1));
    for (const argument of [0, 1, 2]) {
      await expectSameAsCpu(
        operands,
        (...inputs) =>
          tf.grads((a: tf.Tensor, b: tf.Tensor, bias: tf.Tensor) => tf.fused.matMul({a, b, bias}))(
            inputs,
          )[argument]!,
      );
    }
  });

  it('refuses an activation that it does not know', async () => {
    await tf.setBackend('wasm');
    tf.tidy(() => {
      const a = tf.ones([2, 20]);
      const activation = 'tanh' as 'relu';
      expect(() => tf.fused.matMul({a, b: a, transposeB: true, activation})).to.throw(/'tanh'/);
    });
  });
});
