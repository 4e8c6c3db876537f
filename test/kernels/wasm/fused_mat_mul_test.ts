import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {describeWasm, expectSameAsCpu, randomOperand, seeds} from './compare';
import {simdModule} from '../../../src/kernels/wasm/simd_module';
import {withMethods} from '../../../src/tfjs/methods';
import {fuzz} from '../../support/fuzz';

const dimension = fc.constantFrom(1, 3, 17, 50);
const activations = ['linear', 'relu', 'relu6', 'elu', 'sigmoid', 'prelu', 'leakyrelu'] as const;

describeWasm('_FusedMatMul on wasm', (simd) => {
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

  it('takes a bias of whatever shape fits', async () => {
    for (const bias of [[], [1], [17], [1, 17], [3, 1], [3, 17]]) {
      const operands = [[3, 20], [20, 17], bias].map((shape, i) => randomOperand(shape, i + 1));
      await expectSameAsCpu(operands, (a, b, c) => tf.fused.matMul({a: a, b: b, bias: c}));
    }
  });

  it('takes one number as the weight of PReLU', async () => {
    const operands = [[3, 20], [20, 17], []].map((shape, i) => randomOperand(shape, i + 1));
    await expectSameAsCpu(operands, (a, b, preluActivationWeights) =>
      tf.fused.matMul({a: a, b: b, activation: 'prelu', preluActivationWeights}),
    );
  });

  if (simd === 'auto')
    it('goes over the product once more for a bias or an activation that clamps, and for no other', async () => {
      await tf.setBackend('wasm');
      const module = simdModule(tf.backend())!;
      const passes = (activation: (typeof activations)[number], bias?: tf.Tensor): number => {
        let count = 0;
        const {addBias} = module;
        const a = tf.ones([2, 2]);
        const counting: typeof addBias = (args) => {
          count++;
          addBias(args);
        };
        withMethods(module, {addBias: counting}, () =>
          tf.fused.matMul({a, b: a, bias, activation, preluActivationWeights: tf.ones([2])}),
        );
        return count;
      };
      tf.tidy(() => {
        const clamps = ['relu', 'relu6'];
        for (const activation of activations) {
          expect(passes(activation), activation).to.equal(clamps.includes(activation) ? 1 : 0);
          expect(passes(activation, tf.ones([2])), activation).to.equal(1);
        }
      });
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
