import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import {OwLoreStep} from '../../../src/kernels/kernel_names';
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
} from './compare';

/** Roundings of a division, a root and a product, of the larger of the two terms. WGSL's division has 2.5 of its own. */
const ROUNDINGS = 16 * 2 ** -24;

describeWebgpu('OwLoreStep [webgpu]', () => {
  const shapes = fc.constantFrom<number[][]>(
    [],
    [1],
    [5],
    [4],
    [0],
    [7, 3],
    [1, 130],
    [3, 4, 5],
    [64, 8],
  );

  it('steps as the composed ops do', async () => {
    const property = fc.asyncProperty(
      fc.record({
        shape: shapes,
        seed: seeds,
        exponents,
        special: specials,
        rate: fc.constantFrom(0, 1e-3, 2),
        epsilon: fc.constantFrom(1e-8, 1e-3),
        decay: fc.constantFrom(1, 0.9, 0),
        mask: masks,
      }),
      async ({shape, seed, exponents, special, rate, epsilon, decay, mask}) => {
        const operands = {
          variable: randomOperand(shape, seed, {exponents}),
          first: randomOperand(shape, seed + 1, {exponents, special}),
          second: squared(randomOperand(shape, seed + 2, {exponents})),
          mask: mask === undefined ? undefined : scalarOperand(mask),
        };
        await expectKernel(OwLoreStep, operands, {rate, epsilon, decay}, (inputs) => {
          const variable = inputs['variable']!;
          const denominator = tf.add(tf.sqrt(inputs['second']!), epsilon);
          const change = tf.div(tf.mul(inputs['first']!, rate), denominator);
          const next = tf.sub(tf.mul(variable, decay), change);
          const size = tf.add(tf.abs(variable), tf.abs(change));
          return [
            {
              value: inputs['mask'] ? tf.where(inputs['mask'], next, variable) : next,
              tolerance: tf.add(tf.mul(size, ROUNDINGS), 2 ** -125),
            },
          ];
        });
      },
    );
    await fc.assert(property, {numRuns: 30});
  });
});
