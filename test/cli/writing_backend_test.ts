import {expect} from 'chai';
import {resolveConfig, type LlamaConfig} from '../../src/llama/config';
import type {LlamaOutline} from '../../src/llama';
import {writingOrder, type Writing} from '../../src/cli/writing_backend';

const config: LlamaConfig = {
  vocabSize: 49152,
  hiddenSize: 576,
  intermediateSize: 1536,
  numHiddenLayers: 30,
  numAttentionHeads: 9,
  numKeyValueHeads: 3,
  maxPositionEmbeddings: 8192,
};
const one: Writing = {texts: 1, promptTokens: 50, newTokens: 128};

/** The backend that is tried first. */
function first(
  numbers: number,
  {
    of = {},
    halves = true,
    frozenDtype = 'auto',
    ...writing
  }: Partial<Writing> & {
    of?: Partial<LlamaConfig>;
    halves?: boolean;
    frozenDtype?: 'F32' | 'BF16' | 'auto';
  } = {},
): string {
  const outline: LlamaOutline = {
    config: resolveConfig({...config, ...of}),
    numbers,
    bfloat16: halves ? numbers - 1000 : 0,
  };
  return writingOrder(outline, frozenDtype, {...one, ...writing})[0]!;
}

describe('the backend that writes texts', () => {
  const [small, medium, large] = [1e7, 135e6, 1.7e9];

  it('is wasm for one text of a model at 16 bits, or of a small one', () => {
    expect(first(medium)).to.equal('wasm');
    expect(first(medium, {newTokens: Infinity})).to.equal('wasm');
    expect(first(medium, {halves: false, frozenDtype: 'BF16'})).to.equal('wasm');
    expect(first(medium, {halves: false})).to.equal('tensorflow');
    expect(first(medium, {frozenDtype: 'F32'})).to.equal('tensorflow');
    expect(first(small, {halves: false})).to.equal('wasm');
  });

  it('is tensorflow for several texts, if the model is not small', () => {
    expect([1, 3, 4, 8].map((texts) => first(medium, {texts}))).to.deep.equal(
      ['wasm', 'wasm', 'tensorflow', 'tensorflow'], // prettier-ignore
    );
    expect(first(small, {texts: 8})).to.equal('wasm');
  });

  it('is tensorflow for a prompt that is long beside the text', () => {
    for (const numbers of [small, medium]) {
      expect(first(numbers, {promptTokens: 256})).to.equal('wasm');
      expect(first(numbers, {promptTokens: 257})).to.equal('tensorflow');
    }
  });

  it('is tensorflow where the model, or what it keeps of the texts, does not fit into the memory of wasm', () => {
    expect(first(large)).to.equal('tensorflow');
    expect(first(1.45e9)).to.equal('wasm');
    expect(first(1.45e9, {newTokens: 10000})).to.equal('tensorflow');
  });

  it('is tensorflow where the blocks would run op by op on wasm', () => {
    expect(first(medium, {of: {architecture: 'qwen3'}})).to.equal('tensorflow');
    const of = {architecture: 'gemma3' as const, slidingWindow: 512};
    expect(first(medium, {of})).to.equal('tensorflow');
    const mistral = {architecture: 'mistral' as const, slidingWindow: 100};
    expect(first(medium, {of: mistral})).to.equal('tensorflow');
    expect(first(medium, {of: {...mistral, slidingWindow: 4096}})).to.equal('wasm');
  });
});
