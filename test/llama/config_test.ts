import {expect} from 'chai';
import {resolveConfig, type LlamaConfig} from '../../src/llama/config';

const sizes: LlamaConfig = {
  vocabSize: 10,
  hiddenSize: 12,
  intermediateSize: 16,
  numHiddenLayers: 1,
  numAttentionHeads: 3,
};
const ropeScaling = {
  factor: 8,
  lowFreqFactor: 1,
  highFreqFactor: 4,
  originalMaxPositionEmbeddings: 32,
};

describe('LlamaConfig', () => {
  it('has the documented defaults', () => {
    expect(resolveConfig(sizes)).to.deep.equal({
      ...sizes,
      numKeyValueHeads: 3,
      headDim: 4,
      rmsNormEps: 1e-5,
      ropeTheta: 10000,
      ropeScaling: null,
      attentionBias: false,
      slidingWindow: null,
      maxPositionEmbeddings: 2048,
      tieWordEmbeddings: false,
      headInLoss: false,
      initializerRange: 0.02,
      seed: null,
    });
  });

  const wrong: [Record<string, unknown>, string][] = [
    [{vocabsize: 3}, "unknown option 'vocabsize'; did you mean 'vocabSize'?"],
    [{vocabSize: undefined}, 'vocabSize must be an integer >= 1; got undefined'],
    [{hiddenSize: 0}, 'hiddenSize must be an integer >= 1; got 0'],
    [{intermediateSize: 1.5}, 'intermediateSize must be an integer >= 1; got 1.5'],
    [{numHiddenLayers: -1}, 'numHiddenLayers must be an integer >= 1; got -1'],
    [{numAttentionHeads: '3'}, "numAttentionHeads must be an integer >= 1; got '3'"],
    [{numAttentionHeads: 5}, 'headDim must be an integer >= 1; got 2.4'],
    [{numAttentionHeads: 4}, 'headDim must be even, for rotary embedding turns pairs; got 3'],
    [{numKeyValueHeads: 2}, 'numKeyValueHeads must divide numAttentionHeads (3); got 2'],
    [{rmsNormEps: 0}, 'rmsNormEps must be a number > 0; got 0'],
    [{ropeTheta: NaN}, 'ropeTheta must be a number > 0; got NaN'],
    [{maxPositionEmbeddings: 0}, 'maxPositionEmbeddings must be an integer >= 1; got 0'],
    [{attentionBias: 0}, 'attentionBias must be true or false; got 0'],
    [{slidingWindow: 0}, 'slidingWindow must be an integer >= 1; got 0'],
    [{slidingWindow: '5'}, "slidingWindow must be an integer >= 1; got '5'"],
    [{tieWordEmbeddings: 'no'}, "tieWordEmbeddings must be true or false; got 'no'"],
    [{headInLoss: 1}, 'headInLoss must be true or false; got 1'],
    [{initializerRange: -1}, 'initializerRange must be a number >= 0; got -1'],
    [{seed: 0.5}, 'seed must be an integer; got 0.5'],
    [{ropeScaling: 8}, 'ropeScaling: options must be a plain object; got 8'],
    [{ropeScaling: {...ropeScaling, factor: 0.5}}, 'ropeScaling: factor must be a number >= 1'],
    [
      {ropeScaling: {...ropeScaling, lowFreqFactor: 0}},
      'ropeScaling: lowFreqFactor must be a number > 0',
    ],
    [
      {ropeScaling: {...ropeScaling, highFreqFactor: 1}},
      'ropeScaling: highFreqFactor must be a number > 1',
    ],
    [
      {ropeScaling: {...ropeScaling, originalMaxPositionEmbeddings: 0}},
      'ropeScaling: originalMaxPositionEmbeddings must be an integer >= 1',
    ],
  ];
  for (const [options, message] of wrong) {
    it(`refuses ${JSON.stringify(options)}`, () => {
      const config = {...sizes, ...options};
      expect(() => resolveConfig(config)).to.throw(`createLlama: ${message}`);
    });
  }
});
