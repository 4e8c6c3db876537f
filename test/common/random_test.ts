import {expect} from 'chai';
import {createRandom, shuffledIndices} from '../../src/common/random';

describe('createRandom', () => {
  it('gives the same numbers for the same seed', () => {
    const [a, b] = [createRandom(7), createRandom(7)];
    for (let i = 0; i < 100; i++) expect(a.next()).to.equal(b.next());
  });

  it('never changes its sequence: a saved run must replay with a later version', () => {
    const random = createRandom(42);
    expect([random.next(), random.next(), random.next()]).to.deep.equal([
      0.2913792563342512, 0.5267651208853534, 0.2907294504737844,
    ]);
  });

  it('is uniform in [0, 1) from the first number on, over seeds', () => {
    const firsts = Array.from({length: 2000}, (_, seed) => createRandom(seed).next());
    expect(Math.min(...firsts)).to.be.at.least(0);
    expect(Math.max(...firsts)).to.be.below(1);
    const mean = firsts.reduce((sum, x) => sum + x, 0) / firsts.length;
    expect(mean).to.be.closeTo(0.5, 5 / Math.sqrt(12 * firsts.length));
  });

  it('rejects a seed that is no 32-bit unsigned integer', () => {
    for (const seed of [-1, 0.5, NaN, 2 ** 32]) {
      expect(() => createRandom(seed)).to.throw('createRandom: seed must be an integer >= 0');
    }
  });
});

describe('shuffledIndices', () => {
  it('gives each of the orders equally often', () => {
    const random = createRandom(3);
    const counts = new Map<string, number>();
    const draws = 6000;
    for (let i = 0; i < draws; i++) {
      const order = shuffledIndices(3, random).join();
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).to.equal(6);
    const deviation = Math.sqrt(draws * (1 / 6) * (5 / 6));
    for (const count of counts.values()) expect(count).to.be.closeTo(draws / 6, 5 * deviation);
  });
});
