import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {OwLoreAdam, type Side} from '../../../src/kernels/kernel_names';
import {movingAverage} from '../../../src/owlore/optimizer/step/adam';
import {projectBack} from '../../../src/owlore/optimizer/state/projector';
import {
  describeWebgpu,
  expectKernel,
  exponents,
  booleans,
  randomOperand,
  scalarOperand,
  seeds,
  specials,
  squared,
  type Operand,
  type Operands,
  type Tensors,
} from './compare';
import {runKernel} from '../../../tools/webgpu_updates';
import {fuzz} from '../../support/fuzz';

/** What an update is made with; a side for one in a subspace. */
interface Numbers {
  beta1: number;
  beta2: number;
  rate: number;
  epsilon: number;
  decay: number;
  side?: Side;
}

/** Moments that stay as they are, from a gradient of 0. */
const still = {beta1: 1, beta2: 1};
const usual = {beta1: 0.9, beta2: 0.999, epsilon: 1e-8};

/** Powers of ten of moments whose squares are float32. */
const momentExponents = fc.constantFrom<number[][]>([0], [-30], [18], [-18, -3, 0, 3, 18], [-6, 6]);

interface Projected {
  rows: number;
  columns: number;
  rank: number;
  side: Side;
  seed: number;
  rate: number;
  decay: number;
  allFinite: boolean | undefined;
  /** Of the moments, the basis and the variable. */
  exponents?: [number[], number[], number[]];
  special?: number | undefined;
}

describeWebgpu('OwLoreAdam [webgpu]', () => {
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
        allFinite: booleans,
      }),
      async ({shape, seed, exponents, special, beta1, beta2, clip, allFinite}) => {
        const operands = {
          variable0: randomOperand(shape, seed + 3),
          first0: randomOperand(shape, seed, {exponents}),
          second0: squared(randomOperand(shape, seed + 1, {exponents})),
          gradient0: randomOperand(shape, seed + 2, {exponents, special}),
          clip: clip === undefined ? undefined : scalarOperand(clip),
          allFinite: allFinite === undefined ? undefined : scalarOperand(allFinite),
        };
        await expectAdam(operands, {beta1, beta2, rate: 0, epsilon: 1e-8, decay: 1});
      },
    );
    await fc.assert(property, fuzz(30));
  });

  it('steps as the composed ops do', async () => {
    const property = fc.asyncProperty(
      fc.record({
        shape: shapes,
        seed: seeds,
        exponents: momentExponents,
        special: specials,
        rate: fc.constantFrom(0, 1e-3, 2),
        epsilon: fc.constantFrom(1e-8, 1e-3),
        decay: fc.constantFrom(1, 0.9, 0),
        allFinite: booleans,
      }),
      async ({shape, seed, exponents, special, rate, epsilon, decay, allFinite}) => {
        const operands = {
          variable0: randomOperand(shape, seed, {exponents}),
          first0: randomOperand(shape, seed + 1, {exponents, special}),
          second0: squared(randomOperand(shape, seed + 2, {exponents})),
          gradient0: zeros(shape),
          allFinite: allFinite === undefined ? undefined : scalarOperand(allFinite),
        };
        await expectAdam(operands, {...still, rate, epsilon, decay});
      },
    );
    await fc.assert(property, fuzz(30));
  });

  it('steps in a subspace as the composed ops do: odd, tall, wide, rank 1', async () => {
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
        allFinite: booleans,
      }),
      expectProjectedStep,
    );
    await fc.assert(property, fuzz(30));
  });

  it('steps in a subspace as the composed ops do: 1e-30 to 1e30, NaN and infinities', async () => {
    const property = fc.asyncProperty(
      fc.record({
        rows: fc.constantFrom(3, 40),
        columns: fc.constantFrom(5, 36),
        rank: fc.constantFrom(1, 7, 17),
        side: fc.constantFrom('left', 'right'),
        seed: seeds,
        rate: fc.constant(1),
        decay: fc.constantFrom(1, 0.9),
        allFinite: booleans,
        exponents: fc.constantFrom<Array<[number[], number[], number[]]>>(
          [[-30], [0], [0]],
          [[18], [0], [30]],
          [[-16, 0, 16], [-10, 0, 10], [0]],
          [[0], [0], [-30, 0, 30]],
          [[0], [-30], [-30]],
        ),
        special: specials,
      }),
      expectProjectedStep,
    );
    await fc.assert(property, fuzz(20));
  });

  // 64×64 tiles from 64 of them on
  for (const columns of [513, 516]) {
    for (const side of ['left', 'right'] as const) {
      it(`steps in a subspace as the composed ops do: 450×${columns}, ${side}`, () =>
        expectProjectedStep({
          rows: 450,
          columns,
          rank: 19,
          side,
          seed: 3,
          rate: 1e-3,
          decay: 1,
          allFinite: true,
        }));
    }
  }

  it('takes a variable of no rows or columns', async () => {
    for (const [rows, columns] of [
      [0, 5],
      [5, 0],
    ] as const) {
      const left = {rows, columns, rank: 2, side: 'left', seed: 1, rate: 1, decay: 1} as const;
      await expectProjectedStep({...left, allFinite: undefined});
      await expectProjectedStep({...left, side: 'right', allFinite: false});
    }
  });

  it('makes several updates, each with its own numbers', async () => {
    const numbers = [
      {rate: 0.1, epsilon: 1e-8, decay: 0.9},
      {rate: 0.2, epsilon: 1e-3, decay: 1, side: 'right' as const},
    ];
    const plain = updateOperands(0, 7, [6], [6]);
    const operands = {
      ...plain,
      ...updateOperands(1, 20, [5, 8], [5, 2], [8, 2]),
      clip: scalarOperand(2),
    };
    const {beta1, beta2} = usual;
    await expectKernel(OwLoreAdam, operands, {beta1, beta2, updates: numbers}, (inputs) =>
      numbers.flatMap((each, i) => composed(inputs, {...usual, ...each}, i)),
    );
  });

  it('refuses shapes that do not belong together', () => {
    tf.tidy(() => {
      const step = (side: string, basis: number[], inSubspace: number[]): tf.Tensor[] => {
        const [first0, second0, gradient0] = [0, 1, 2].map(() => tf.zeros(inSubspace));
        const inputs = {
          ...{variable0: tf.zeros([6, 4]), basis0: tf.zeros(basis)},
          ...{first0: first0!, second0: second0!, gradient0: gradient0!},
        };
        const updates = [{side, rate: 1, epsilon: 1, decay: 1}];
        return runKernel(OwLoreAdam, inputs, {beta1: 0.9, beta2: 0.999, updates});
      };
      expect(() => step('left', [4, 2], [2, 4])).to.throw(/input 'basis0' must have the shape \[/);
      expect(() => step('right', [4, 2], [2, 6])).to.throw(/input 'first0' must have the shape \[/);
      expect(() => step('left', [6, 0], [0, 4])).to.throw("input 'basis0' must have a column");
    });
  });
});

function zeros(shape: number[]): Operand {
  return {shape, values: new Float32Array(tf.util.sizeFromShape(shape))};
}

/** Operands of update number `i`. */
function updateOperands(
  i: number,
  seed: number,
  shape: number[],
  momentShape: number[],
  basisShape?: number[],
): Operands {
  return {
    [`variable${i}`]: randomOperand(shape, seed),
    [`first${i}`]: randomOperand(momentShape, seed + 1),
    [`second${i}`]: squared(randomOperand(momentShape, seed + 2)),
    [`gradient${i}`]: randomOperand(momentShape, seed + 3),
    [`basis${i}`]: basisShape && randomOperand(basisShape, seed + 4),
  };
}

async function expectProjectedStep({
  rows,
  columns,
  rank,
  side,
  seed,
  rate,
  decay,
  allFinite,
  exponents: [moments, basis, variable] = [[0], [0], [0]],
  special,
}: Projected): Promise<void> {
  const momentShape = side === 'left' ? [rank, columns] : [rows, rank];
  const basisShape = side === 'left' ? [rows, rank] : [columns, rank];
  const operands = {
    variable0: randomOperand([rows, columns], seed, {exponents: variable}),
    basis0: randomOperand(basisShape, seed + 1, {exponents: basis}),
    first0: randomOperand(momentShape, seed + 2, {exponents: moments, special}),
    second0: squared(randomOperand(momentShape, seed + 3, {exponents: moments})),
    gradient0: zeros(momentShape),
    allFinite: allFinite === undefined ? undefined : scalarOperand(allFinite),
  };
  await expectAdam(operands, {...still, side, rate, epsilon: 1e-8, decay});
}

async function expectAdam(operands: Operands, numbers: Numbers): Promise<void> {
  const {beta1, beta2, ...update} = numbers;
  await expectKernel(OwLoreAdam, operands, {beta1, beta2, updates: [update]}, (inputs) =>
    composed(inputs, numbers, 0),
  );
}

/** Roundings of an average and of a product that is fused or not, each of the larger of the two numbers. */
const AVERAGE_ROUNDINGS = 8 * 2 ** -24;
/** Roundings of a division, a root and a product, of the larger of the two terms. WGSL's division has 2.5 of its own. */
const STEP_ROUNDINGS = 16 * 2 ** -24;

/**
 * Update number `i` of tfjs's ops. The tolerance of the variable holds for moments that are right to a rounding or two: such as
 * stay, or matter little.
 */
function composed(
  {clip, allFinite, ...inputs}: Tensors,
  {beta1, beta2, rate, epsilon, decay, side}: Numbers,
  i: number,
): Array<{value: tf.Tensor; tolerance: tf.Tensor}> {
  const of = (name: string): tf.Tensor => inputs[`${name}${i}`]!;
  const allowed = (next: tf.Tensor, old: tf.Tensor): tf.Tensor =>
    allFinite ? tf.where(allFinite, next, old) : next;
  // Devices may take numbers below the normal ones for 0.
  const tolerance = (size: tf.Tensor, roundings: number): tf.Tensor =>
    tf.add(tf.mul(size, roundings), 2 ** -120);
  const g = clip ? tf.mul(of('gradient'), clip) : of('gradient');
  const average = (
    old: tf.Tensor,
    value: tf.Tensor,
    beta: number,
  ): {value: tf.Tensor; tolerance: tf.Tensor} => ({
    value: allowed(movingAverage(old, value, beta), old),
    tolerance: tolerance(tf.maximum(tf.abs(old), tf.abs(value)), AVERAGE_ROUNDINGS),
  });
  const first = average(of('first'), g, beta1);
  const second = average(of('second'), tf.square(g), beta2);
  const variable = of('variable');
  const n = tf.div(tf.mul(first.value, rate), tf.add(tf.sqrt(second.value), epsilon));
  const back = (x: tf.Tensor, basis: tf.Tensor): tf.Tensor =>
    side ? projectBack(x as tf.Tensor2D, basis as tf.Tensor2D, side) : x;
  const basis = inputs[`basis${i}`]!;
  const next = tf.sub(tf.mul(variable, decay), back(n, basis));
  // Each term of a sum is rounded once for itself and once for each sum it is in.
  const size = tf.add(tf.abs(variable), back(tf.abs(n), basis && tf.abs(basis)));
  const roundings = STEP_ROUNDINGS + (basis ? basis.shape[1]! * 2 ** -24 : 0);
  return [{value: allowed(next, variable), tolerance: tolerance(size, roundings)}, first, second];
}
