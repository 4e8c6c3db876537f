import {expect} from 'chai';
import fc from 'fast-check';
import {IGNORED} from '../../../src/llama/text/encode_example';
import {Packer, paddedRow, type Row} from '../../../src/llama/text/rows';

const PAD = 99;

/** Ids from `first` on, the last `learned` of them to be learned. */
function example(first: number, count: number, learned: number) {
  return {
    ids: Array.from({length: count}, (_, i) => first + i),
    isLearned: Array.from({length: count}, (_, i) => i >= count - learned),
  };
}

const plain = (row: Row | null) =>
  row && {ids: [...row.ids], labels: [...row.labels], tokens: row.tokens};

describe('paddedRow', () => {
  it('has the next token as label where that is learned, and padding behind', () => {
    expect(plain(paddedRow(example(1, 4, 2), 5, PAD))).to.deep.equal({
      ids: [1, 2, 3, PAD, PAD],
      labels: [IGNORED, 3, 4, IGNORED, IGNORED],
      tokens: 3,
    });
  });

  it('takes one token more than it has positions, for the last is a label only', () => {
    expect(plain(paddedRow(example(1, 4, 4), 3, PAD))).to.deep.equal({
      ids: [1, 2, 3],
      labels: [2, 3, 4],
      tokens: 3,
    });
  });

  it('cuts what is longer', () => {
    expect(plain(paddedRow(example(1, 9, 7), 3, PAD))).to.deep.equal({
      ids: [1, 2, 3],
      labels: [IGNORED, 3, 4],
      tokens: 3,
    });
  });

  it('is none where nothing is left to learn', () => {
    expect(paddedRow(example(1, 9, 5), 3, PAD)).to.equal(null);
    expect(paddedRow(example(1, 1, 1), 3, PAD)).to.equal(null);
  });
});

describe('Packer', () => {
  it('puts examples behind each other and predicts none from the one before', () => {
    const packer = new Packer(4);
    packer.add(example(1, 3, 1));
    expect(packer.take()).to.equal(null);
    packer.add(example(10, 3, 3));
    expect(plain(packer.take())).to.deep.equal({
      ids: [1, 2, 3, 10],
      labels: [IGNORED, 3, IGNORED, 11],
      tokens: 4,
    });
    expect(packer.take()).to.equal(null);
    expect(packer.rest).to.deep.equal({ids: [11, 12], labels: [12, IGNORED]});
    expect(plain(packer.end(PAD))).to.deep.equal({
      ids: [11, 12, PAD, PAD],
      labels: [12, IGNORED, IGNORED, IGNORED],
      tokens: 2,
    });
    expect(packer.end(PAD)).to.equal(null);
  });

  it('passes over rows without anything to learn', () => {
    const packer = new Packer(2);
    packer.add(example(1, 7, 1));
    expect(plain(packer.take())).to.deep.equal({ids: [5, 6], labels: [IGNORED, 7], tokens: 2});
    expect(packer.end(PAD)).to.equal(null);
  });

  it('predicts each learned token once, whatever the lengths, and also from a saved rest', () => {
    const lengths = fc.array(
      fc.integer({min: 1, max: 12}).chain((n) => fc.tuple(fc.constant(n), fc.nat(n))),
      {maxLength: 8},
    );
    fc.assert(
      fc.property(lengths, fc.integer({min: 1, max: 6}), (examples, length) => {
        let packer = new Packer(length);
        const labels: number[] = [];
        const expected: number[] = [];
        examples.forEach(([count, learned], i) => {
          const next = example(100 * (i + 1), count, learned);
          // the first token of an example has none before it
          expected.push(...next.ids.filter((_, j) => j > 0 && next.isLearned[j]));
          packer.add(next);
          for (let row = packer.take(); row; row = packer.take()) labels.push(...row.labels);
          packer = new Packer(length, JSON.parse(JSON.stringify(packer.rest)) as Packer['rest']);
        });
        labels.push(...(packer.end(PAD)?.labels ?? []));
        expect(labels.filter((label) => label !== IGNORED)).to.deep.equal(expected);
      }),
    );
  });
});
