/** The arithmetic of the comparison, on runs that are made up. */
import {expect} from 'chai';
import {
  deviation,
  mean,
  pairedDifference,
  paretoFront,
  type OfSeed,
} from '../../bench/compare/arithmetic';
import {bestOf, MAX_RATES, neighbour, nextRates, type Tried} from '../../bench/compare/rates';

const row = (...values: number[]): OfSeed[] => values.map((value, i) => ({seed: i + 1, value}));

describe('bench/compare: arithmetic', () => {
  it('has the mean and the deviation of a sample', () => {
    expect(mean([0.84, 0.87, 0.9])).to.be.closeTo(0.87, 1e-12);
    expect(deviation([0.84, 0.87, 0.9])).to.be.closeTo(0.03, 1e-12);
    expect(deviation([2, 4, 4, 4, 5, 5, 7, 9])).to.be.closeTo(Math.sqrt(32 / 7), 1e-12);
    expect(deviation([1])).to.be.NaN;
    expect(() => mean([])).to.throw('there are no numbers');
  });

  it('has the interval of a paired difference that R has', () => {
    // Student's own data, `sleep` in R: t.test(extra ~ group, data = sleep, paired = TRUE), mean −1.58, from −2.4598858 to −0.7001142
    const first = row(0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0, 2);
    const second = row(1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4);
    const {mean: center, halfWidth, seeds} = pairedDifference(first, second)!;
    expect(center).to.be.closeTo(-1.58, 1e-12);
    expect(center - halfWidth).to.be.closeTo(-2.4598858, 1e-4);
    expect(center + halfWidth).to.be.closeTo(-0.7001142, 1e-4);
    expect(seeds).to.have.length(10);
  });

  it('pairs by seed, whatever the order, and leaves out seeds that one row lacks', () => {
    const one = [
      {seed: 3, value: 0.9},
      {seed: 1, value: 0.8},
      {seed: 2, value: 5},
    ];
    const other = [
      {seed: 1, value: 0.7},
      {seed: 3, value: 0.7},
      {seed: 4, value: 9},
    ];
    const difference = pairedDifference(one, other)!;
    expect(difference.seeds).to.deep.equal([3, 1]);
    expect(difference.mean).to.be.closeTo(0.15, 1e-12);
    // t of one degree of freedom, and a deviation of 0.1 / √2
    expect(difference.halfWidth).to.be.closeTo((12.706 * (0.1 / Math.SQRT2)) / Math.SQRT2, 1e-9);
    expect(pairedDifference(one, [{seed: 9, value: 1}])).to.equal(null);
    expect(pairedDifference(one, [{seed: 2, value: 4}])).to.deep.equal({
      ...{seeds: [2], mean: 1, halfWidth: NaN},
    });
  });

  it('has no interval for more pairs than it knows t of', () => {
    const many = row(...Array.from({length: 40}, (_, i) => i));
    expect(() => pairedDifference(many, many)).to.throw('at most 31 pairs; got 40');
  });

  it('finds the rows that no other is better than', () => {
    const points = [
      {title: 'full', loss: 0.8, bytes: 2152},
      {title: 'owlore', loss: 0.85, bytes: 1207},
      {title: 'lora', loss: 0.95, bytes: 950},
      {title: 'galore', loss: 0.86, bytes: 1500},
      {title: 'twin of owlore', loss: 0.85, bytes: 1207},
      {title: 'as large, and worse', loss: 0.96, bytes: 950},
    ];
    expect(paretoFront(points).map(({title}) => title)).to.deep.equal([
      ...['lora', 'owlore', 'twin of owlore', 'full'],
    ]);
    expect(paretoFront([])).to.deep.equal([]);
  });
});

describe('bench/compare: the search for a rate', () => {
  const tried = (...losses: [rate: number, loss: number][]): Tried[] =>
    losses.map(([rate, loss]) => ({rate, loss}));

  it('has the grid of 1, 2 and 5', () => {
    const up = [1e-5];
    while (up.length < 7) up.push(neighbour(up.at(-1)!, 1));
    expect(up).to.deep.equal([1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3]);
    const down = [1e-3];
    while (down.length < 7) down.push(neighbour(down.at(-1)!, -1));
    expect(down).to.deep.equal([...up].reverse());
    expect(() => neighbour(3e-4, 1)).to.throw('1, 2 or 5 times a power of ten; got 0.0003');
  });

  it('begins with the rates of the setting', () => {
    expect(nextRates([1e-4, 2e-4], [])).to.deep.equal([1e-4, 2e-4]);
    expect(nextRates([1e-4, 2e-4], tried([2e-4, 1]))).to.deep.equal([1e-4]);
  });

  it('goes on while the best is at an edge, and then no further', () => {
    expect(nextRates([1e-4, 2e-4], tried([1e-4, 1], [2e-4, 0.9]))).to.deep.equal([5e-4]);
    expect(nextRates([1e-4, 2e-4], tried([1e-4, 0.9], [2e-4, 1]))).to.deep.equal([5e-5]);
    const over = tried([1e-4, 1], [2e-4, 0.9], [5e-4, 0.95]);
    expect(nextRates([1e-4, 2e-4], over)).to.deep.equal([]);
    expect(bestOf(over).rate).to.equal(2e-4);
  });

  it('takes a training without an end as worse than any, and ends after so many rates', () => {
    const over = tried([1e-4, 0.9], [2e-4, Infinity], [5e-5, 1]);
    expect(nextRates([1e-4, 2e-4], over)).to.deep.equal([]);
    let all: Tried[] = [];
    for (;;) {
      const next = nextRates([1e-5, 2e-5], all);
      if (next.length === 0) break;
      all = [...all, ...next.map((rate) => ({rate, loss: -rate}))];
    }
    expect(all).to.have.length(MAX_RATES);
  });
});
