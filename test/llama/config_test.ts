import {expect} from 'chai';
import {architectureNames} from '../../src/llama/architectures';
import {resolveConfig, type LlamaConfig} from '../../src/llama/config';
import {quoted} from '../support/quoted';

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
      architecture: 'llama',
      numKeyValueHeads: 3,
      headDim: 4,
      rmsNormEps: 1e-5,
      ropeTheta: 10000,
      ropeScaling: null,
      attentionBias: false,
      slidingWindow: null,
      layerTypes: null,
      ropeLocalBaseFreq: 10000,
      queryPreAttnScalar: 4,
      maxPositionEmbeddings: 2048,
      tieWordEmbeddings: false,
      headInLoss: false,
      initializerRange: 0.02,
      seed: null,
    });
  });

  const architectures: Array<[Partial<LlamaConfig>, string]> = [
    [{}, 'llama'],
    [{slidingWindow: null}, 'llama'],
    [{slidingWindow: 5}, 'mistral'],
    [{attentionBias: true}, 'qwen2'],
    [{attentionBias: true, slidingWindow: 5}, 'qwen2'],
  ];
  for (const [options, architecture] of architectures) {
    it(`is of a ${architecture} with ${JSON.stringify(options)}, if it says nothing else`, () => {
      expect(resolveConfig({...sizes, ...options}).architecture).to.equal(architecture);
    });
  }

  it('has biases where the architecture has them', () => {
    expect(resolveConfig({...sizes, architecture: 'qwen2'}).attentionBias).to.equal(true);
    expect(resolveConfig({...sizes, architecture: 'mistral'}).attentionBias).to.equal(false);
  });

  it('names no layers that are all alike', () => {
    const window = {architecture: 'qwen2', slidingWindow: 5} as const;
    const of = (layerTypes: LlamaConfig['layerTypes']) =>
      resolveConfig({...sizes, ...window, numHiddenLayers: 2, layerTypes});
    const [full, sliding] = ['full_attention', 'sliding_attention'] as const;
    expect(of([full, full])).to.include({slidingWindow: null, layerTypes: null});
    expect(of([sliding, sliding])).to.include({slidingWindow: 5, layerTypes: null});
    expect(of([full, sliding])).to.deep.include({slidingWindow: 5, layerTypes: [full, sliding]});
  });

  const wrong: [Record<string, unknown>, string][] = [
    [{numHiddenLayers: 2 ** 52}, 'numHiddenLayers must be an integer >= 1 and <= 256'],
    [{vocabSize: 1e15}, 'vocabSize must be an integer >= 1 and <= 16777216'],
    [{hiddenSize: 1e15}, 'hiddenSize must be an integer >= 1 and <= 1048576'],
    [{intermediateSize: 2 ** 53}, 'intermediateSize must be an integer >= 1 and <= 1048576'],
    [{headDim: 1e8}, 'headDim must be an integer >= 1 and <= 4096; got 100000000'],
    [{vocabsize: 3}, "unknown option 'vocabsize'; did you mean 'vocabSize'?"],
    [{vocabSize: undefined}, 'vocabSize must be an integer >= 1; got undefined'],
    [{hiddenSize: 0}, 'hiddenSize must be an integer >= 1; got 0'],
    [{intermediateSize: 1.5}, 'intermediateSize must be an integer >= 1; got 1.5'],
    [{numHiddenLayers: -1}, 'numHiddenLayers must be an integer >= 1; got -1'],
    [{numAttentionHeads: '3'}, "numAttentionHeads must be an integer >= 1; got '3'"],
    [{numAttentionHeads: 5}, 'headDim must be an integer >= 1; got 2.4'],
    [{numAttentionHeads: 4}, 'headDim must be even, because rotary embedding rotates pairs; got 3'],
    [{numKeyValueHeads: 2}, 'numKeyValueHeads must divide numAttentionHeads (3); got 2'],
    [{rmsNormEps: 0}, 'rmsNormEps must be a number > 0; got 0'],
    [{ropeLocalBaseFreq: 0}, 'ropeLocalBaseFreq must be a number > 0; got 0'],
    [{queryPreAttnScalar: -1}, 'queryPreAttnScalar must be a number > 0; got -1'],
    [{ropeLocalBaseFreq: 7}, "ropeLocalBaseFreq must be 10000 in the architecture 'llama'; got 7"],
    [{queryPreAttnScalar: 7}, "queryPreAttnScalar must be 4 in the architecture 'llama'; got 7"],
    [{ropeTheta: NaN}, 'ropeTheta must be a number > 0; got NaN'],
    [{maxPositionEmbeddings: 0}, 'maxPositionEmbeddings must be an integer >= 1; got 0'],
    [{attentionBias: 0}, 'attentionBias must be true or false; got 0'],
    [{slidingWindow: 0}, 'slidingWindow must be an integer >= 1; got 0'],
    [{slidingWindow: '5'}, "slidingWindow must be an integer >= 1; got '5'"],
    [{tieWordEmbeddings: 'no'}, "tieWordEmbeddings must be true or false; got 'no'"],
    [{headInLoss: 1}, 'headInLoss must be true or false; got 1'],
    [{initializerRange: -1}, 'initializerRange must be a number >= 0; got -1'],
    [{seed: 0.5}, 'seed must be an integer; got 0.5'],
    [
      {architecture: 'gpt2'},
      `architecture must be one of ${quoted(architectureNames)}; got 'gpt2'`,
    ],
    [
      {architecture: 'llama', slidingWindow: 5},
      "slidingWindow must be null in the architecture 'llama'; got 5",
    ],
    [
      {architecture: 'mistral', attentionBias: true},
      "attentionBias must be false in the architecture 'mistral'; got true",
    ],
    [
      {architecture: 'qwen2', attentionBias: false},
      "attentionBias must be true in the architecture 'qwen2'; got false",
    ],
    [
      {numHiddenLayers: 2, slidingWindow: 5, layerTypes: ['full_attention', 'sliding_attention']},
      "layerTypes must be null in the architecture 'mistral'; got [",
    ],
    [
      {architecture: 'qwen2', slidingWindow: 5, layerTypes: ['full_attention', 'full_attention']},
      'layerTypes must have an entry for each of 1 layers; got ["full_attention","full_attention"]',
    ],
    [
      {architecture: 'qwen2', slidingWindow: 5, layerTypes: ['full']},
      "layerTypes[0] must be one of 'full_attention', 'sliding_attention'; got 'full'",
    ],
    [
      {architecture: 'qwen2', layerTypes: ['sliding_attention']},
      "layerTypes may have 'sliding_attention' with a slidingWindow only; got null",
    ],
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
