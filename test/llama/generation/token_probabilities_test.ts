import {expect} from 'chai';
import fc from 'fast-check';
import {
  drawIndex,
  largestIndex,
  penalized,
  tokenProbabilities,
  type SamplingOptions,
} from '../../../src/llama/generation/token_probabilities';
import {createRandom} from '../../../src/common/random';

type Draws = Omit<SamplingOptions, 'repetitionPenalty'>;

/**
 * The same by the rule as Hugging Face's processors state it, one after the other: divide; keep the K
 * largest; of these, from the largest on, keep a token as long as those before it have less than P
 * together; of these keep those that have a part of the largest probability. For logits that differ from each other.
 */
function byTheRule(logits: number[], {temperature, topK, topP, minP}: Draws): number[] {
  const order = logits.map((_, id) => id).sort((a, b) => logits[b]! - logits[a]!);
  const candidates = order.slice(0, topK ?? order.length);
  const largest = Math.max(...logits);
  const weightOf = (id: number): number => Math.exp((logits[id]! - largest) / temperature);
  const sum = (ids: number[]): number => ids.reduce((total, id) => total + weightOf(id), 0);
  const kept = candidates.filter(
    (id, rank) =>
      rank === 0 ||
      (sum(candidates.slice(0, rank)) / sum(candidates) < topP && weightOf(id) >= minP),
  );
  return logits.map((_, id) => (kept.includes(id) ? weightOf(id) / sum(kept) : 0));
}

describe('tokenProbabilities', () => {
  it('are those of the rule', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({min: -400, max: 400}), {minLength: 1, maxLength: 12}),
        fc.constantFrom(0.1, 0.7, 1, 3),
        fc.option(fc.integer({min: 1, max: 14})),
        fc.constantFrom(0.05, 0.4321, 0.8765, 0.9999, 1),
        fc.constantFrom(0, 0.0123, 0.3456, 1),
        (tenths, temperature, topK, topP, minP) => {
          const logits = tenths.map((x) => x / 40);
          const options = {temperature, topK, topP, minP};
          const expected = byTheRule(logits, options);
          tokenProbabilities(Float32Array.from(logits), options).forEach((probability, id) => {
            // the logits are rounded to float32, and divided by a tenth
            expect(probability).to.be.closeTo(expected[id]!, 1e-5);
          });
        },
      ),
      {numRuns: 1000},
    );
  });

  it('take a part of the probability that is reached exactly', () => {
    const logits = [0.5, 0.25, 0.25].map(Math.log);
    const options = {temperature: 1, topK: null, minP: 0};
    expect([...tokenProbabilities(logits, {...options, topP: 0.5})]).to.deep.equal([1, 0, 0]);
    expect(tokenProbabilities(logits, {...options, topP: 0.51})[2]).to.be.closeTo(0.25, 1e-12);
  });

  it('leave equal logits together', () => {
    const options = {temperature: 1, topK: 2, topP: 1, minP: 0};
    expect([...tokenProbabilities([1, 3, 1, 1, 3, 3], options)]).to.deep.equal(
      [0, 1, 0, 0, 1, 1].map((x) => x / 3),
    );
  });

  it('are finite for huge logits and tiny temperatures', () => {
    const options = {temperature: 1e-30, topK: null, topP: 0.9, minP: 0.1};
    expect([...tokenProbabilities([3e38, -3e38, 0], options)]).to.deep.equal([1, 0, 0]);
  });
});

describe('penalized', () => {
  it('makes tokens that are there less probable, each once, and leaves the logits as they were', () => {
    const logits = [2, -2, 0, 4];
    const seen = new Set([0, 1, 2]);
    expect([...(penalized(logits, seen, 2) as Float64Array)]).to.deep.equal([1, -4, 0, 4]);
    expect(logits).to.deep.equal([2, -2, 0, 4]);
  });

  it('is finite for tiny and huge penalties, so that there are probabilities', () => {
    for (const penalty of [1e-320, 1e300]) {
      const changed = penalized([3e38, -3e38, 5, 1], [0, 1, 2], penalty);
      const options = {temperature: 1e-3, topK: null, topP: 1, minP: 0};
      const sum = tokenProbabilities(changed, options).reduce((total, p) => total + p, 0);
      expect(sum).to.be.closeTo(1, 1e-12);
    }
  });
});

describe('drawIndex', () => {
  it('draws with the given probabilities', () => {
    const probabilities = [0.05, 0, 0.35, 0.5, 0.1, 0];
    const draws = 20_000;
    const random = createRandom(7);
    const counts = probabilities.map(() => 0);
    for (let i = 0; i < draws; i++) counts[drawIndex(probabilities, random)]!++;
    expect([counts[1], counts[5]]).to.deep.equal([0, 0]);
    const chiSquare = probabilities.reduce((sum, p, i) => {
      const expected = p * draws;
      return p === 0 ? sum : sum + (counts[i]! - expected) ** 2 / expected;
    }, 0);
    // 3 degrees of freedom: above it with probability 0.001
    expect(chiSquare).to.be.below(16.27);
  });

  it('ends at the last possible index where rounding leaves a rest', () => {
    const last = {next: () => 1 - 2 ** -53};
    expect(drawIndex([0.3, 0.3, 0.399, 0], last)).to.equal(2);
  });
});

describe('largestIndex', () => {
  it('is the first of equal ones', () => {
    expect(largestIndex([-3, -1, -1, -2])).to.equal(1);
  });
});
