import {Tokenizer} from '@huggingface/tokenizers';
import {expect} from 'chai';
import * as fc from 'fast-check';
import {END_OF_TEXT, trainTokenizer} from '../../demo/bpe';

describe('demo: trainTokenizer', () => {
  it('merges the most frequent pair first, never across words', () => {
    // a textbook example: low ×5, lower ×2, newest ×6, widest ×3 (Sennrich et al. 2016, without the end-of-word mark)
    const words = [
      ...repeat('low', 5),
      ...repeat('lower', 2),
      ...repeat('newest', 6),
      ...repeat('widest', 3),
    ];
    const {merges} = trainTokenizer(words, 257 + 5).model;
    expect(merges.map(([left, right]) => left + right)).to.deep.equal([
      'es',
      'est',
      'lo',
      'low',
      'ew',
    ]);
  });

  it('stops where nothing is left to merge', () => {
    const {vocab} = trainTokenizer(['ab ab'], 1000).model;
    expect(Object.keys(vocab)).to.have.length(257 + 2); // ab, and ab with the space in front
  });

  it('gives every text back through @huggingface/tokenizers', () => {
    const tokenizer = new Tokenizer(trainTokenizer(['the whale, the white whale'], 270), {});
    expect(tokenizer.encode('the whale').ids).to.have.length.below(9);
    fc.assert(
      fc.property(fc.string({unit: 'binary', minLength: 1}), (text) => {
        expect(tokenizer.decode(tokenizer.encode(text).ids)).to.equal(text);
      }),
    );
  });

  it('gives the separator of documents its own id', () => {
    const tokenizer = new Tokenizer(trainTokenizer(['a b'], 257), {});
    expect(tokenizer.encode(`a${END_OF_TEXT}b`).ids).to.deep.equal([1 + 97, 0, 1 + 98]);
  });
});

function repeat(word: string, count: number): string[] {
  return Array.from({length: count}, () => word);
}
