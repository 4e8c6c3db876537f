import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import {OwLoreMoments} from '../../../src/kernels/kernel_names';
import {movingAverage} from '../../../src/optim/adam';
import {
  describeWebgpu,
  expectKernel,
  exponents,
  masks,
  randomOperand,
  scalarOperand,
  seeds,
  specials,
  squared,
  type Tensors,
} from './compare';

/** Roundings of the form and of a product that is fused or not, each of the larger of the two numbers. */
const ROUNDINGS = 8 * 2 ** -24;

describeWebgpu('OwLoreMoments [webgpu]', () => {
  const shapes = fc.constantFrom<number[][]>(
    [],
    [1],
    [5],
    [4],
    [0],
    [3, 0],
    [7, 3],
    [1, 129],
    [64, 8],
    [2, 3, 2, 2, 3, 2, 2],
  );
  const betas = fc.constantFrom(0, 0.3, 0.9, 0.999, 1);

  it('moves the moments as the composed averages do', async () => {
    const property = fc.asyncProperty(
      fc.record({
        shape: shapes,
        seed: seeds,
        exponents,
        special: specials,
        beta1: betas,
        beta2: betas,
        clip: fc.constantFrom(undefined, 0, 0.37, 1),
        mask: masks,
      }),
      async ({shape, seed, exponents, special, beta1, beta2, clip, mask}) => {
        const operands = {
          first: randomOperand(shape, seed, {exponents}),
          second: squared(randomOperand(shape, seed + 1, {exponents})),
          gradient: randomOperand(shape, seed + 2, {exponents, special}),
          clip: clip === undefined ? undefined : scalarOperand(clip),
          mask: mask === undefined ? undefined : scalarOperand(mask),
        };
        await expectKernel(OwLoreMoments, operands, {beta1, beta2}, (inputs) => [
          expected(inputs, 'first', beta1, (g) => g),
          expected(inputs, 'second', beta2, tf.square),
        ]);
      },
    );
    await fc.assert(property, {numRuns: 30});
  });
});

function expected(
  {gradient, clip, mask, ...inputs}: Tensors,
  moment: 'first' | 'second',
  beta: number,
  of: (g: tf.Tensor) => tf.Tensor,
): {value: tf.Tensor; tolerance: tf.Tensor} {
  const old = inputs[moment]!;
  const value = of(clip ? tf.mul(gradient!, clip) : gradient!);
  const next = movingAverage(old, value, beta);
  const size = tf.maximum(tf.abs(old), tf.abs(value));
  return {
    value: mask ? tf.where(mask, next, old) : next,
    // Devices may take numbers below the normal ones for 0.
    tolerance: tf.add(tf.mul(size, ROUNDINGS), 2 ** -125),
  };
}
