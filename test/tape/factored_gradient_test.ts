import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {OwLoreOptimizer, type OwLoreOptions} from '../../src/index';
import {randomizedBasis} from '../../src/owlore/optimizer/state/basis';
import {PIECE_SIZE, termKind} from '../../src/tape/factored_gradient';
import {addGradients, tidyWith} from '../../src/tape/gradient';
import {UNIT} from '../../src/owlore/optimizer/step/finite_check';
import type {FactoredGradient} from '../../src/tape/factored_gradient';
import {describeAlsoLate} from '../support/stand_in';
import {held} from '../support/sentinels';
import {picks, rowSizes, Terms} from './term_losses';

const [ROWS, WIDTH, RANK] = [30, 6, 2];
const shapeAlong = (axis: 0 | 1): [number, number] => (axis === 0 ? [ROWS, WIDTH] : [WIDTH, ROWS]);

/** A matrix whose gradients may come in terms along an axis. */
function weightAlong(axis: 0 | 1): tf.Variable {
  return tf.tidy(() =>
    tf.variable(tf.randomNormal(shapeAlong(axis), 0, 1, 'float32', 1), true, `terms/${axis}`),
  );
}

async function expectNear(actual: tf.Tensor, expected: tf.Tensor, what: string): Promise<void> {
  expect(actual.shape, what).to.deep.equal(expected.shape);
  const [values, right] = [await actual.data(), await expected.data()];
  // Sums of some 30 float32 products of numbers up to 10.
  const within = 1e-5 * Math.max(...Array.from(right, Math.abs));
  right.forEach((x, i) => expect(values[i], `${what}, number ${i}`).to.be.closeTo(x, within));
}

describeAlsoLate('factored gradients', () => {
  let start: ReturnType<typeof held>;
  beforeEach(() => (start = held()));
  afterEach(() => {
    Object.assign(rowSizes, {picks: 0, products: 0});
    expect(held()).to.deep.equal(start);
  });

  for (const axis of [0, 1] as const) {
    // all rows in one piece, or some of them at a time, the last ones fewer
    for (const atATime of [ROWS, 7, 1]) {
      it(`have the sums of the whole gradient, rows along axis ${axis}, ${atATime} at a time`, async () => {
        rowSizes.products = Math.floor(PIECE_SIZE / atATime);
        const weight = weightAlong(axis);
        const terms = new Terms(weight, axis, 4);
        const gradient = terms.inTerms();
        const {whole, projected, squares, gram} = tf.tidy(() => {
          const basis = tf.randomNormal<tf.Rank.R2>([WIDTH, RANK], 0, 1, 'float32', 9);
          const [made, both] = [{isMade: true}, {basis, isMeasured: true}];
          const own = {
            whole: gradient.reduce(weight, made).whole!,
            projected: gradient.reduce(weight, {basis}).projected!,
            ...{both: gradient.reduce(weight, both)},
            gram: gradient.reduce(weight, {hasGram: true}),
          };
          const right = terms.whole();
          const g = axis === 0 ? right : tf.transpose<tf.Tensor2D>(right);
          const r = tf.matMul(g, basis);
          const square = tf.sum(tf.square(right));
          const product = tf.matMul(g, g, true);
          const largest = (x: tf.Tensor): tf.Tensor => tf.max(tf.abs(x));
          return {
            whole: [[own.whole, right]],
            projected: [own.projected, own.both.projected!].map((x) => [
              x,
              axis === 0 ? r : tf.transpose(r),
            ]),
            squares: [
              [own.both.squares!, square],
              [own.gram.squares!, square],
            ],
            // up to a factor, and of numbers near 1
            gram: [
              [tf.div(own.gram.gram!, largest(own.gram.gram!)), tf.div(product, largest(product))],
            ],
          };
        });
        for (const [what, pairs] of Object.entries({whole, projected, squares, gram})) {
          for (const [actual, expected] of pairs) await expectNear(actual!, expected!, what);
        }
        gradient.dispose();
        tf.dispose([weight, whole, projected, squares, gram]);
      });
    }
  }

  for (const axis of [0, 1] as const) {
    it(`are added to others of every kind, in either order, along axis ${axis}`, async () => {
      const weight = weightAlong(axis);
      const terms = [new Terms(weight, axis, 4), new Terms(weight, axis, 5)] as const;
      const made = [1, 2].map((seed) => tf.randomNormal(weight.shape, 0, 1, 'float32', seed)) as [
        tf.Tensor,
        tf.Tensor,
      ];
      // pieces of seven rows, of what was made as well
      rowSizes.products = Math.floor(PIECE_SIZE / 7);
      const expected = tf.tidy(() =>
        tf.addN([terms[0].whole(), terms[1].whole(), ...made.map((x) => tf.clone(x))]),
      );
      const first = addGradients(undefined, terms[0].inTerms());
      const both = addGradients(addGradients(first, made[0]), made[1]);
      const sum = addGradients(both, terms[1].inTerms()) as FactoredGradient;
      expect(sum.terms.map(({kind}) => kind.name)).to.have.members([
        ...['testPicks', 'testProducts', 'dense'],
      ]);
      const other = addGradients(tf.zeros(weight.shape), terms[1].inTerms()) as FactoredGradient;
      const [whole, alone, right] = tf.tidy(() => [
        sum.reduce(weight, {isMade: true}).whole!,
        other.reduce(weight, {isMade: true}).whole!,
        terms[1].whole(),
      ]);
      await expectNear(whole, expected, 'the sum of four');
      await expectNear(alone, right, 'the sum of two');
      tf.dispose([sum, other, expected, whole, alone, right, weight]);
    });
  }

  it('are copied, and disposed of, as a tensor is', async () => {
    const weight = weightAlong(0);
    const gradient = new Terms(weight, 0, 4).inTerms();
    const copy = tf.tidy(() => gradient.copy());
    const right = new Terms(weight, 0, 4).whole();
    gradient.dispose();
    expect([gradient.isDisposed, copy.isDisposed]).to.deep.equal([true, false]);
    expect(gradient.tensors.every((tensor) => tensor.isDisposed)).to.equal(true);
    const whole = tf.tidy(() => copy.reduce(weight, {isMade: true}).whole!);
    await expectNear(whole, right, 'the copy');
    tf.dispose([copy, whole, right, weight]);
  });

  it('are disposed of where what reads them throws, and only then', () => {
    const weight = weightAlong(0);
    const gradient = new Terms(weight, 0, 4).inTerms();
    tidyWith(gradient, () => undefined);
    expect(gradient.isDisposed).to.equal(false);
    const read = (): void => {
      throw new Error('unreadable');
    };
    expect(() => tidyWith(gradient, read)).to.throw('unreadable');
    expect(gradient.isDisposed).to.equal(true);
    // any other tensor is its owner's
    const other = tf.zeros([1]);
    expect(() => tidyWith(other, read)).to.throw('unreadable');
    expect(other.isDisposed).to.equal(false);
    tf.dispose([other, weight]);
  });

  it('have kinds that a saved state finds by name', () => {
    expect(termKind('testPicks')).to.equal(picks);
    expect(termKind('dense')?.scaled).to.equal('values');
    expect(termKind('none')).to.equal(undefined);
  });

  it('have nothing but what is asked for', () => {
    const weight = weightAlong(0);
    const gradient = new Terms(weight, 0, 4).inTerms();
    const basis = tf.ones<tf.Rank.R2>([WIDTH, RANK]);
    for (const [wanted, made] of [
      [{basis}, ['projected']],
      [{basis, isMeasured: true}, ['projected', 'squares']],
      [{isMeasured: true}, ['squares']],
      [{hasGram: true}, ['squares', 'gram']],
      [{isMade: true}, ['whole']],
    ] as const) {
      tf.tidy(() => {
        const sums = Object.entries(gradient.reduce(weight, wanted));
        const names = sums.flatMap(([name, sum]) => (sum === null ? [] : name));
        expect(names).to.have.members(made);
      });
    }
    gradient.dispose();
    tf.dispose([weight, basis]);
  });

  it('are made of the rows that are asked for alone, as many as fit into a piece of memory', () => {
    const weight = weightAlong(0);
    const gradient = new Terms(weight, 0, 4).inTerms();
    const counts: number[] = [];
    const {rows} = picks;
    picks.rows = (tensors, ys, range) => {
      counts.push(range.count);
      return rows(tensors, ys, range);
    };
    const countsOf = (wanted: object): number[] => {
      tf.tidy(() => void gradient.reduce(weight, wanted));
      return counts.splice(0);
    };
    try {
      expect(countsOf({isMade: true})).to.deep.equal([30]);
      // of each kind of terms and of the gradient's own rows, the largest counts
      rowSizes.products = PIECE_SIZE / 16;
      expect(countsOf({hasGram: true})).to.deep.equal([16, 14]);
      rowSizes.picks = PIECE_SIZE / 8;
      expect(countsOf({isMeasured: true})).to.deep.equal([8, 8, 8, 6]);
      rowSizes.picks = 3 * PIECE_SIZE;
      expect(countsOf({isMade: true})).to.deep.equal(Array.from({length: 30}, () => 1));
    } finally {
      picks.rows = rows;
      gradient.dispose();
      weight.dispose();
    }
  });

  it('are made of a few pieces where no values are computed, in their shapes', () => {
    const backend = tf.backend() as {computesNoValues?: true};
    const {rows} = picks;
    let pieces = 0;
    picks.rows = (tensors, ys, range) => {
      pieces++;
      return rows(tensors, ys, range);
    };
    rowSizes.picks = PIECE_SIZE / 4;
    backend.computesNoValues = true;
    try {
      for (const axis of [0, 1] as const) {
        const weight = weightAlong(axis);
        const gradient = new Terms(weight, axis, 4).inTerms();
        pieces = 0;
        const {numTensors} = tf.memory();
        const whole = tf.tidy(() => gradient.reduce(weight, {isMade: true}).whole!);
        expect(whole.shape).to.deep.equal(weight.shape);
        expect(tf.memory().numTensors).to.equal(numTensors + 1);
        // of eight: the first two and the last
        expect(pieces).to.equal(3);
        tf.dispose([whole, gradient, weight]);
      }
    } finally {
      delete backend.computesNoValues;
      picks.rows = rows;
    }
  });

  it('have a Gram matrix and a norm where the squares of their numbers leave float32', async () => {
    const weight = weightAlong(0);
    for (const factor of [2 ** -70, 2 ** 70]) {
      // with a term that is too small to count
      const [gradient, plain] = [factor, 1].map((each) =>
        new Terms(weight, 0, 4, each).inTerms().plus(tf.fill(weight.shape, each * 2 ** -75)),
      ) as [FactoredGradient, FactoredGradient];
      const [actual, expected, scaled, square] = tf.tidy((): tf.Tensor[] => [
        gradient.reduce(weight, {hasGram: true}).gram!,
        plain.reduce(weight, {hasGram: true}).gram!,
        gradient.reduce(weight, {isMeasured: true, unit: UNIT}).squares!,
        tf.mul(plain.reduce(weight, {isMeasured: true}).squares!, (factor * 2 ** -80) ** 2),
      ]);
      await expectNear(actual!, expected!, `times ${factor}`);
      if (factor > 1) await expectNear(scaled!, square!, 'times 2 ** -80');
      for (const each of [gradient, plain]) each.dispose();
      tf.dispose([actual!, expected!, scaled!, square!]);
    }
    weight.dispose();
  });

  /** Trains on both ways; a function in the place of the basis gets whole gradients. */
  async function trained(
    axis: 0 | 1,
    options: OwLoreOptions,
    factors: readonly number[] = [1, 1, 1, 1, 1, 1],
  ): Promise<number[]> {
    const weight = weightAlong(axis);
    const optimizer = new OwLoreOptimizer({
      ...{learningRate: 0.02, rank: RANK, refreshInterval: 2, weightDecay: 0.1, project: /terms/},
      ...options,
    });
    for (const [call, factor] of factors.entries()) {
      const terms = new Terms(weight, axis, call, factor);
      optimizer.minimize(() => terms.loss(), false, [weight]);
      await optimizer.settled();
    }
    const values = [...(await weight.data())];
    optimizer.dispose();
    weight.dispose();
    return values;
  }

  const ways: Record<string, OwLoreOptions> = {
    'by default': {},
    'as they come': {nonFinite: 'ignore'},
    clipped: {clipNorm: 0.5},
    'clipped, moments rotated': {clipNorm: 0.5, moments: 'rotate'},
    accumulated: {accumulate: 2},
    'accumulated and clipped': {accumulate: 2, clipNorm: 0.5},
    'accumulated, a basis for three steps': {accumulate: 2, refreshInterval: 3},
    'without a scale of directions': {scale: 1},
  };
  for (const axis of [0, 1] as const) {
    for (const [how, options] of Object.entries(ways)) {
      it(`move a weight as whole ones do, axis ${axis}: ${how}`, async () => {
        const actual = await trained(axis, options);
        const expected = await trained(axis, {...options, basis: randomizedBasis});
        // Roundings of 1e-7, which Adam enlarges where a gradient is small.
        actual.forEach((x, i) => expect(x, `number ${i}`).to.be.closeTo(expected[i]!, 2e-4));
      });
    }
  }

  for (const [options, count] of [
    // without a limit of their norm the steps after the first one are as long as that
    [{}, 1],
    [{clipNorm: 0.5}, 2],
  ] as Array<[OwLoreOptions, number]>) {
    it(`beyond float32 move it as ordinary ones do, ${JSON.stringify(options)}`, async () => {
      const [huge, ordinary] = [
        await trained(0, options, new Array<number>(count).fill(1e25)),
        await trained(0, options, new Array<number>(count).fill(1)),
      ];
      huge.forEach((x, i) => expect(x).to.be.closeTo(ordinary[i]!, 2e-4));
    });
  }

  it('are projected without being made, but for a new basis', async () => {
    const weight = weightAlong(0);
    const optimizer = new OwLoreOptimizer({rank: RANK, nonFinite: 'ignore', project: /terms/});
    const {rows} = picks;
    const widths: number[] = [];
    picks.rows = (tensors, ys, range) => {
      widths.push(...ys.map((y) => y.shape[1]));
      return rows(tensors, ys, range);
    };
    for (let step = 0; step < 3; step++)
      optimizer.minimize(() => new Terms(weight, 0, step).loss(), false, [weight]);
    picks.rows = rows;
    // rows of the gradient, for GᵀG, and those of R
    expect(widths).to.deep.equal([WIDTH, RANK, RANK, RANK]);
    optimizer.dispose();
    weight.dispose();
  });

  it('are skipped with their step where a number is not finite, and leave nothing behind', async () => {
    for (const at of [0, 1]) {
      const weight = weightAlong(0);
      const optimizer = new OwLoreOptimizer({rank: RANK, nonFinite: 'skip', project: /terms/});
      for (let step = 0; step < at; step++)
        optimizer.minimize(() => new Terms(weight, 0, step).loss(), false, [weight]);
      await optimizer.settled();
      const [before, bytes] = [[...(await weight.data())], optimizer.stateBytes];
      optimizer.minimize(() => new Terms(weight, 0, 7, NaN).loss(), false, [weight]);
      await optimizer.settled();
      expect(optimizer.skippedSteps).to.equal(1);
      expect([...(await weight.data())]).to.deep.equal(before);
      expect(optimizer.stateBytes).to.equal(bytes);
      optimizer.dispose();
      weight.dispose();
    }
  });
});
