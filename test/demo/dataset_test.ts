import {Tokenizer} from '@huggingface/tokenizers';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {trainTokenizer} from '../../demo/bpe';
import {encodeDocuments, evenWindows, randomWindows, type Windows} from '../../demo/dataset';

describe('demo: windows of tokens', () => {
  const tokens = Int32Array.from({length: 100}, (_, i) => i);

  it('ends every document with the separator', () => {
    const tokenizer = new Tokenizer(trainTokenizer([], 257), {});
    expect([...encodeDocuments(tokenizer, ['a', 'bc'])]).to.deep.equal([98, 0, 99, 100, 0]);
  });

  it('has the next token as label, and stays within the text', () => {
    const {x, y} = read(randomWindows(tokens, 500, 7, 3));
    expect(x).to.have.length(500);
    expect(new Set(x.map((window) => window[0]))).to.have.length.within(85, 93);
    expect(Math.max(...y.flat())).to.be.at.most(99);
    expect(y).to.deep.equal(x.map((window) => window.map((token) => token + 1)));
  });

  it('takes the same windows for the same seed', () => {
    const [a, b, c] = [5, 5, 6].map((seed) => read(randomWindows(tokens, 20, 5, seed)));
    expect(a).to.deep.equal(b);
    expect(a).not.to.deep.equal(c);
  });

  it('spreads held-out windows evenly', () => {
    const {x} = read(evenWindows(tokens, 4, 20));
    expect(x.map((window) => window[0])).to.deep.equal([0, 20, 40, 60]);
  });
});

/** The windows as arrays; disposes of the tensors. */
function read({x, y}: Windows): {x: number[][]; y: number[][]} {
  const arrays = {
    x: x.arraySync(),
    y: y.arraySync().map((window) => window.map(([token]) => token!)),
  };
  tf.dispose([x, y]);
  return arrays;
}
