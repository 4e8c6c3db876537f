import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {OwLoreProjectedStep} from '../../../src/kernels/kernel_names';
import {projectBack} from '../../../src/optim/projector';
import {
  describeWebgpu,
  expectKernel,
  masks,
  randomOperand,
  scalarOperand,
  seeds,
  specials,
  squared,
} from './compare';
import {runKernel} from '../../../tools/webgpu_updates';

interface Case {
  rows: number;
  columns: number;
  rank: number;
  side: 'left' | 'right';
  seed: number;
  rate: number;
  decay: number;
  mask: boolean | undefined;
  /** Of the moments, the basis and the variable. */
  exponents?: [number[], number[], number[]];
  special?: number | undefined;
}

describeWebgpu('OwLoreProjectedStep [webgpu]', () => {
  it('steps as the composed ops do: odd, tall, wide, rank 1', async () => {
    const length = fc.oneof(fc.integer({min: 1, max: 9}), fc.integer({min: 10, max: 90}));
    const property = fc.asyncProperty(
      fc.record({
        rows: length,
        columns: fc.oneof(
          length,
          length.map((n) => 4 * Math.ceil(n / 4)),
        ),
        rank: fc.oneof(fc.constant(1), fc.integer({min: 1, max: 40})),
        side: fc.constantFrom('left', 'right'),
        seed: seeds,
        rate: fc.constantFrom(1e-3, 2),
        decay: fc.constantFrom(1, 0.9),
        mask: masks,
      }),
      expectProjectedStep,
    );
    await fc.assert(property, {numRuns: 30});
  });

  it('steps as the composed ops do: 1e-30 to 1e30, NaN and infinities', async () => {
    const property = fc.asyncProperty(
      fc.record({
        rows: fc.constantFrom(3, 40),
        columns: fc.constantFrom(5, 36),
        rank: fc.constantFrom(1, 7, 17),
        side: fc.constantFrom('left', 'right'),
        seed: seeds,
        rate: fc.constant(1),
        decay: fc.constantFrom(1, 0.9),
        mask: masks,
        exponents: fc.constantFrom<Array<[number[], number[], number[]]>>(
          [[-30], [0], [0]],
          [[30], [0], [30]],
          [[-16, 0, 16], [-10, 0, 10], [0]],
          [[0], [0], [-30, 0, 30]],
          [[0], [-30], [-30]],
        ),
        special: specials,
      }),
      expectProjectedStep,
    );
    await fc.assert(property, {numRuns: 20});
  });

  // 64×64 tiles from 64 of them on
  for (const columns of [513, 516]) {
    for (const side of ['left', 'right'] as const) {
      it(`steps as the composed ops do: 450×${columns}, ${side}`, () =>
        expectProjectedStep({
          rows: 450,
          columns,
          rank: 19,
          side,
          seed: 3,
          rate: 1e-3,
          decay: 1,
          mask: true,
        }));
    }
  }

  it('takes a variable of no rows or columns', async () => {
    for (const [rows, columns] of [
      [0, 5],
      [5, 0],
    ] as const) {
      const left = {rows, columns, rank: 2, side: 'left', seed: 1, rate: 1, decay: 1} as const;
      await expectProjectedStep({...left, mask: undefined});
      await expectProjectedStep({...left, side: 'right', mask: false});
    }
  });

  it('refuses shapes that do not belong together', () => {
    tf.tidy(() => {
      const variable = tf.zeros([6, 4]);
      const step = (side: string, basis: number[], moments: number[]): tf.Tensor[] =>
        runKernel(
          OwLoreProjectedStep,
          {
            variable,
            basis: tf.zeros(basis),
            first: tf.zeros(moments),
            second: tf.zeros(moments),
          },
          {side, rate: 1, epsilon: 1, decay: 1},
        );
      expect(() => step('left', [4, 2], [2, 4])).to.throw(/input 'basis' must have the shape \[/);
      expect(() => step('right', [4, 2], [2, 6])).to.throw(/input 'first' must have the shape \[/);
      expect(() => step('left', [6, 0], [0, 4])).to.throw("input 'basis' must have a column");
    });
  });
});

async function expectProjectedStep({
  rows,
  columns,
  rank,
  side,
  seed,
  rate,
  decay,
  mask,
  exponents: [momentExponents, basisExponents, variableExponents] = [[0], [0], [0]],
  special,
}: Case): Promise<void> {
  const epsilon = 1e-8;
  const momentShape = side === 'left' ? [rank, columns] : [rows, rank];
  const basisShape = side === 'left' ? [rows, rank] : [columns, rank];
  const momentOptions = {exponents: momentExponents};
  const operands = {
    variable: randomOperand([rows, columns], seed, {exponents: variableExponents}),
    basis: randomOperand(basisShape, seed + 1, {exponents: basisExponents}),
    first: randomOperand(momentShape, seed + 2, {...momentOptions, special}),
    second: squared(randomOperand(momentShape, seed + 3, momentOptions)),
    mask: mask === undefined ? undefined : scalarOperand(mask),
  };
  await expectKernel(OwLoreProjectedStep, operands, {side, rate, epsilon, decay}, (inputs) => {
    const variable = inputs['variable']!;
    const basis = inputs['basis'] as tf.Tensor2D;
    const denominator = tf.add(tf.sqrt(inputs['second']!), epsilon);
    const change = tf.div<tf.Tensor2D>(tf.mul(inputs['first']!, rate), denominator);
    const next = tf.sub(tf.mul(variable, decay), projectBack(change, basis, side));
    // Each term of a sum is rounded once for itself and once for each sum it is in.
    const sizes = projectBack(tf.abs(change), tf.abs(basis), side);
    const tolerance = tf.add(
      tf.mul(sizes, (rank + 16) * 2 ** -24),
      tf.mul(tf.abs(variable), 4 * 2 ** -24),
    );
    return [
      {
        value: inputs['mask'] ? tf.where(inputs['mask'], next, variable) : next,
        // Devices may take numbers below the normal ones for 0.
        tolerance: tf.add(tolerance, 2 ** -120),
      },
    ];
  });
}
