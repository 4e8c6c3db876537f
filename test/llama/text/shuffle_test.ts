import {expect} from 'chai';
import {createRandom} from '../../../src/common/random';
import {shuffled} from '../../../src/llama/text/shuffle';

async function* upTo(count: number): AsyncGenerator<number> {
  for (let i = 0; i < count; i++) yield i;
}

async function order(count: number, buffer: number, seed: number): Promise<number[]> {
  const items: number[] = [];
  for await (const item of shuffled(upTo(count), buffer, createRandom(seed))) items.push(item);
  return items;
}

describe('shuffled', () => {
  it('gives every item once, in an order that the seed determines', async () => {
    for (const [count, buffer] of [
      [0, 3],
      [1, 3],
      [50, 1],
      [50, 7],
      [50, 50],
      [50, 99],
    ] as const) {
      const items = await order(count, buffer, 1);
      const sorted = [...items].sort((a, b) => a - b);
      expect(sorted).to.deep.equal(Array.from({length: count}, (_, i) => i));
      expect(await order(count, buffer, 1)).to.deep.equal(items);
    }
    expect(await order(50, 50, 2)).to.not.deep.equal(await order(50, 50, 1));
  });

  it('keeps the order with a buffer of one, and gives no item before it can have been read', async () => {
    expect(await order(20, 1, 3)).to.deep.equal(Array.from({length: 20}, (_, i) => i));
    (await order(500, 10, 3)).forEach((item, i) => expect(item).to.be.at.most(i + 10));
  });

  it('makes every order equally likely if all items fit', async () => {
    const counts = new Map<string, number>();
    const draws = 6000;
    const random = createRandom(5);
    for (let i = 0; i < draws; i++) {
      const items: number[] = [];
      for await (const item of shuffled(upTo(3), 3, random)) items.push(item);
      counts.set(items.join(), (counts.get(items.join()) ?? 0) + 1);
    }
    expect(counts.size).to.equal(6);
    // five standard deviations of a binomial count
    const limit = 5 * Math.sqrt(draws * (1 / 6) * (5 / 6));
    for (const count of counts.values()) expect(count).to.be.closeTo(draws / 6, limit);
  });
});
