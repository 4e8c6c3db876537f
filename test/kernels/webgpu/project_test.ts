import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {OwLoreProject} from '../../../src/kernels/kernel_names';
import {describeWebgpu, expectKernel, randomOperand, seeds, specials} from './compare';
import {runKernel} from '../../../tools/webgpu_updates';
import {fuzz} from '../../support/fuzz';

interface Case {
  rows: number;
  columns: number;
  rank: number;
  side: 'left' | 'right';
  seed: number;
  /** Of the gradient. */
  exponents?: number[];
  special?: number | undefined;
}

describeWebgpu('OwLoreProject [webgpu]', () => {
  const length = fc.oneof(fc.integer({min: 1, max: 9}), fc.integer({min: 10, max: 90}));
  const multiple = length.map((n) => 4 * Math.ceil(n / 4));
  const sides = fc.constantFrom<Array<'left' | 'right'>>('left', 'right');

  it('projects as a product does: odd, tall, wide, rank 1', async () => {
    const property = fc.asyncProperty(
      fc.record({
        rows: length,
        columns: fc.oneof(length, multiple),
        rank: fc.oneof(fc.constant(1), length, multiple),
        side: sides,
        seed: seeds,
      }),
      expectProjection,
    );
    await fc.assert(property, fuzz(30));
  });

  it('projects as a product does: 1e-30 to 1e30, NaN and infinities', async () => {
    const property = fc.asyncProperty(
      fc.record({
        rows: fc.constantFrom(3, 40),
        columns: fc.constantFrom(5, 36),
        rank: fc.constantFrom(1, 4, 17),
        side: sides,
        seed: seeds,
        exponents: fc.constantFrom<number[][]>([-30], [30], [-30, -3, 0, 3, 30]),
        special: specials,
      }),
      expectProjection,
    );
    await fc.assert(property, fuzz(20));
  });

  // 64×64 tiles from 64 of them on, and sums that tfjs divides
  for (const [rows, columns, rank] of [
    [450, 516, 449],
    [450, 513, 450],
    [2500, 12, 8],
    [12, 2501, 7],
  ] as const) {
    for (const side of ['left', 'right'] as const) {
      it(`projects as a product does: ${rows}×${columns}, rank ${rank}, ${side}`, () =>
        expectProjection({rows, columns, rank, side, seed: 3}));
    }
  }

  it('takes a gradient of no rows or columns', async () => {
    for (const side of ['left', 'right'] as const) {
      await expectProjection({rows: 0, columns: 5, rank: 2, side, seed: 1});
      await expectProjection({rows: 5, columns: 0, rank: 2, side, seed: 1});
    }
  });

  it('refuses shapes that do not belong together', () => {
    tf.tidy(() => {
      const gradient = tf.zeros([6, 4]);
      const project = (side: string, basis: number[]): tf.Tensor[] =>
        runKernel(OwLoreProject, {gradient, basis: tf.zeros(basis)}, {side});
      expect(() => project('left', [4, 2])).to.throw(/input 'basis' must have the shape \[/);
      expect(() => project('right', [6, 2])).to.throw(/input 'basis' must have the shape \[/);
    });
  });
});

async function expectProjection(options: Case): Promise<void> {
  const {rows, columns, rank, side, seed, exponents, special} = options;
  const inner = side === 'left' ? rows : columns;
  const operands = {
    gradient: randomOperand([rows, columns], seed, {exponents: exponents ?? [0], special}),
    basis: randomOperand([inner, rank], seed + 1),
  };
  await expectKernel(OwLoreProject, operands, {side}, ({gradient, basis}) => {
    const product = (g: tf.Tensor, p: tf.Tensor): tf.Tensor =>
      side === 'left' ? tf.matMul(p, g, true) : tf.matMul(g, p);
    // Each term of a sum is rounded once for itself and once for each sum it is in.
    const sizes = product(tf.abs(gradient!), tf.abs(basis!));
    return [
      {
        value: product(gradient!, basis!),
        // Devices may take numbers below the normal ones for 0.
        tolerance: tf.add(tf.mul(sizes, (inner + 16) * 2 ** -24), 2 ** -120),
      },
    ];
  });
}
