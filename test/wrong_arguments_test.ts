import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import * as main from '../src/index';
import {estimateMemory} from '../src/memory/estimate';
import * as llama from '../src/llama';
import {Lora} from '../src/lora';
import {rejection} from './support/rejection';

/** What is passed by mistake, and is no model, tensor, list, map or function. */
const WRONG = [undefined, null, NaN, -1, '', 'x', true, 1n, Symbol('s'), {}, new Date(0)] as const;

describe('arguments that are none', () => {
  let model: tfl.LayersModel;
  before(() => {
    model = llama.createLlama({
      ...{vocabSize: 8, hiddenSize: 8, intermediateSize: 8, numHiddenLayers: 1, seed: 1},
      ...{numAttentionHeads: 1, maxPositionEmbeddings: 8},
    });
  });
  after(() => model.dispose());

  /** What each call says of such an argument. */
  const calls: Record<string, [(wrong: never) => unknown, RegExp]> = {
    'findBlocks: model': [
      (x) => main.findBlocks(x),
      /^findBlocks: model must be a tf\.LayersModel/,
    ],
    'blockInfluenceScores: model': [
      (x) => main.blockInfluenceScores(x, []),
      /model must be a tf\./,
    ],
    'relativeMagnitudeScores: model': [
      (x) => main.relativeMagnitudeScores(x),
      /model must be a tf\./,
    ],
    'outlierScores: model': [(x) => main.outlierScores(x, []), /model must be a tf\./],
    'variableGrads: f': [(x) => main.variableGrads(x), /^variableGrads: f must be a function/],
    'setWeights: weights': [
      (x) => new main.OwLoreOptimizer().setWeights(x),
      /^OwLoreOptimizer: weights must be a list of \{name, tensor\}, as getWeights gives it; got /,
    ],
    'setWeights: an entry': [
      (x) => new main.OwLoreOptimizer().setWeights([x]),
      /^OwLoreOptimizer: weights\[0\]\.name must be a text; got undefined/,
    ],
    'generate: model': [
      (x) => llama.generate(x, [1]),
      /^generate: model must be a tf\.LayersModel/,
    ],
    'generate: ids': [
      (x) => llama.generate(model, x),
      /^generate: ids must be a list of token ids/,
    ],
    'estimateMemory: model': [
      (x) => estimateMemory(x),
      /^estimateMemory: (the first argument must be the object in|model_type must be one of)/,
    ],
    'new Lora': [(x) => new Lora('x', x, x, x), /^Lora: is not made by new; use applyLora/],
    predict: [
      (x) => model.predict(x),
      /^llama\.predict: token ids must be a tensor \[batch, seq\]; got /,
    ],
    predictOnBatch: [
      (x) => model.predictOnBatch(x),
      /^llama\.predictOnBatch: token ids must be a tensor \[batch, seq\]; got /,
    ],
    'generateBatch: model': [(x) => llama.generateBatch(x, [[1]]), /model must be a tf\./],
    'PromptCache: model': [(x) => new llama.PromptCache(x), /model must be a tf\.LayersModel/],
    'getLlamaWeights: model': [(x) => llama.getLlamaWeights(x), /^getLlamaWeights: model must be/],
    'setLlamaWeights: model': [(x) => llama.setLlamaWeights(x, new Map()), /model must be a tf\./],
    'setLlamaWeights: tensors': [
      (x) => llama.setLlamaWeights(model, x),
      /^setLlamaWeights: tensors must be a Map of \{shape, values\}; got /,
    ],
    'setLlamaWeights: a tensor': [
      (x) => llama.setLlamaWeights(model, new Map([['a', x]])),
      /^setLlamaWeights: the tensor 'a' must be \{shape, values\}; got /,
    ],
    'saveLlama: model': [(x) => llama.saveLlama(x, new Map()), /^saveLlama: model must be/],
    'saveGguf: model': [(x) => llama.saveGguf(x, new Map()), /^saveGguf: model must be/],
    'gsm8k: model': [(x) => llama.gsm8k(x, {} as never, 'x', {}), /model must be a tf\./],
    'perplexity: model': [(x) => llama.perplexity(x, []), /^perplexity: model must be/],
    'perplexity: a batch': [
      (x) => llama.perplexity(model, [x]),
      /^perplexity: xs of a batch must be/,
    ],
    'logLikelihoods: model': [(x) => llama.logLikelihoods(x, []), /^logLikelihoods: model must be/],
    'logLikelihoods: requests': [
      (x) => llama.logLikelihoods(model, x),
      /^logLikelihoods: requests must be a list of \{context, continuation\}; got /,
    ],
    'logLikelihoods: a continuation': [
      (x) => llama.logLikelihoods(model, [{context: [1], continuation: x}]),
      /^logLikelihoods: requests\[0\]: continuation must be a list of token ids; got /,
    ],
    'sparseCrossEntropy: labels': [
      (x) => llama.sparseCrossEntropy(x, x),
      /^sparseCrossEntropy: labels must be a tensor; got /,
    ],
  };

  for (const [what, [call, message]] of Object.entries(calls)) {
    it(`are named: ${what}`, async () => {
      const {numTensors} = tf.memory();
      for (const wrong of WRONG) {
        const error = await rejection((async () => call(wrong as never))());
        expect(error.message, typeof wrong).to.match(message);
      }
      expect(tf.memory().numTensors).to.equal(numTensors);
    });
  }

  it('are named: ids that are texts, or of another rank', () => {
    const {numTensors} = tf.memory();
    tf.tidy(() => {
      const texts = tf.tensor([['a', 'b']]);
      for (const method of ['predict', 'predictOnBatch'] as const) {
        expect(() => model[method](texts)).to.throw(
          `llama.${method}: token ids must be whole numbers; got string [1, 2]`,
        );
      }
      expect(() => model.apply(tf.zeros([1, 2, 3]))).to.throw(
        'model.embed_tokens: token ids must be [batch, seq], at least one sequence of at least one token; got [1, 2, 3]',
      );
    });
    expect(tf.memory().numTensors).to.equal(numTensors);
  });
});
