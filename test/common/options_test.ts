import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import * as index from '../../src/index';
import {
  blockInfluenceScores,
  cosineDecay,
  CheckpointCallback,
  LayerSamplingCallback,
  leanOptimizer,
  linearDecay,
  outlierScores,
  owlore,
  OwLoreOptimizer,
  paperMethod,
  relativeMagnitudeScores,
  resumeCheckpoint,
  samplingProbabilities,
  saveCheckpoint,
} from '../../src/index';
import * as estimation from '../../src/memory/estimate/index';
import * as llama from '../../src/llama/index';
import * as lora from '../../src/lora/index';
import {checkChoice, checkKnown, checkNumber, display} from '../../src/common/options';
import {rejection} from '../support/rejection';

/** What is exported and takes none. A `Lora` is made by `applyLora`, which does. */
const withoutOptions = [
  ...['findBlocks', 'recomputeGrad', 'valueAndGrads', 'variableGrads'],
  ...['getLlamaWeights', 'setLlamaWeights', 'setThreads'],
  ...['perplexity', 'sparseCrossEntropy', 'PromptCache', 'loadLora', 'Lora'],
];

describe('options', () => {
  it('names owner, option, value and range of a number', () => {
    const check = (value: unknown): void =>
      checkNumber('Thing', 'size', value, {min: 1, exclusiveMax: 5, integer: true});
    expect(() => check(1)).not.to.throw();
    for (const value of [0, 5, 1.5, NaN, '2', null, undefined]) {
      expect(() => check(value)).to.throw(
        `Thing: size must be an integer >= 1 and < 5; got ${display(value)}`,
      );
    }
    expect(() => checkNumber('Thing', 'size', Infinity)).to.throw('size must be a number; got');
  });

  it('names the choices', () => {
    expect(() => checkChoice('Thing', 'mode', 'c', ['a', 'b'])).to.throw(
      `Thing: mode must be one of 'a', 'b'; got 'c'`,
    );
  });

  it('names the nearest known option', () => {
    expect(() => checkKnown('Thing', {colour: 1}, ['size', 'color'])).to.throw(
      `Thing: unknown option 'colour'; did you mean 'color'? Known options: size, color`,
    );
    for (const value of [null, 3, []]) {
      expect(() => checkKnown('Thing', value, ['size'])).to.throw('options must be a plain object');
    }
  });

  it('suggests what an option of another library is called here, and nothing where nothing comes near', () => {
    const messageOf = (name: string): string => {
      try {
        new OwLoreOptimizer({[name]: 1});
      } catch (error) {
        return (error as Error).message;
      }
      return 'accepted';
    };
    const meant: Record<string, string> = {
      ...{lr: 'learningRate', learning_rate: 'learningRate', LearningRate: 'learningRate'},
      ...{betas: "beta1' and 'beta2", beta_1: 'beta1', eps: 'epsilon', weight_decay: 'weightDecay'},
      ...{wd: 'weightDecay', r: 'rank', ranks: 'rank', alpha: 'scale', proj_type: 'side'},
      ...{update_proj_gap: 'refreshInterval', clipnorm: 'clipNorm', max_grad_norm: 'clipNorm'},
      ...{
        gradient_accumulation_steps: 'accumulate',
        gradient_checkpointing: 'gradientCheckpointing',
      },
    };
    for (const [name, expected] of Object.entries(meant)) {
      expect(messageOf(name)).to.include(
        `OwLoreOptimizer: unknown option '${name}'; did you mean '${expected}'? Known options: learn`,
      );
    }
    for (const name of ['nesterov', 'foo', 'toString']) {
      expect(messageOf(name)).to.include(`unknown option '${name}'; Known options: learningRate`);
    }
  });

  it('are known to every function and class that takes them', async () => {
    const odd = {unknownOption: 1} as object;
    const model = tfl.sequential({layers: [tfl.layers.dense({units: 1, inputShape: [1]})]});
    const none = new Uint8Array();
    const sizes = {vocabSize: 8, hiddenSize: 4, intermediateSize: 4, numHiddenLayers: 1};
    const config = {...sizes, numAttentionHeads: 1};
    const language = llama.createLlama(config);
    const tokenizer = {} as llama.Tokenizer;
    const calls: Record<string, () => unknown> = {
      OwLoreOptimizer: () => new OwLoreOptimizer(odd),
      owlore: () => owlore(1, odd),
      paperMethod: () => paperMethod('full', model, odd),
      LayerSamplingCallback: () => new LayerSamplingCallback(odd),
      linearDecay: () => linearDecay(1, 2, odd),
      cosineDecay: () => cosineDecay(1, 2, odd),
      schedule: () => owlore({kind: 'linearDecay', learningRate: 1, steps: 2, end: 0, ...odd}),
      warmup: () => owlore({kind: 'warmup', steps: 2, then: 1, ...odd}),
      samplingProbabilities: () => samplingProbabilities([1, 2], odd),
      leanOptimizer: () => leanOptimizer(tf.train.sgd(1), odd),
      CheckpointCallback: () => new CheckpointCallback({target: new Map(), ...odd}),
      saveCheckpoint: () => saveCheckpoint(new Map(), {model, optimizer: owlore(1)}, odd),
      resumeCheckpoint: () => resumeCheckpoint(new Map(), {model, optimizer: owlore(1)}, odd),
      outlierScores: () => outlierScores(model, [], odd),
      relativeMagnitudeScores: () => relativeMagnitudeScores(model, odd),
      blockInfluenceScores: () => blockInfluenceScores(model, [], odd),
      estimateMemory: () => estimation.estimateMemory(language, odd),
      applyLora: () => lora.applyLora(model, odd),
      createLlama: () => llama.createLlama({...config, ...odd}),
      generate: () => llama.generate(language, [1], odd),
      generateBatch: () => llama.generateBatch(language, [[1]], odd),
      gsm8k: () => llama.gsm8k(model, tokenizer, none, odd),
      logLikelihoods: () => llama.logLikelihoods(model, [], odd),
      multipleChoice: () => llama.multipleChoice(model, tokenizer, none, {task: 'arc', ...odd}),
      loadLlama: () => llama.loadLlama(new Map(), odd),
      saveLlama: () => llama.saveLlama(model, new Map(), odd),
      saveGguf: () => llama.saveGguf(language, new Map(), odd),
      loadTokenizer: () => llama.loadTokenizer(new Map(), odd),
      textDataset: () => llama.textDataset(none, tokenizer, odd),
      TextDataset: () => new llama.TextDataset(none, tokenizer, odd),
    };
    const exported = [index, estimation, llama, lora].flatMap((module) =>
      Object.entries<unknown>({...module}).flatMap(([name, value]) =>
        typeof value === 'function' ? [name] : [],
      ),
    );
    expect(exported).to.have.members([
      ...Object.keys(calls).filter((name) => name !== 'schedule'),
      ...withoutOptions,
    ]);
    for (const [name, call] of Object.entries(calls)) {
      const error = await rejection(Promise.resolve().then(call));
      expect(error.message, name).to.match(/unknown option 'unknownOption'; Known options: /);
    }
    language.dispose();
    model.dispose();
  });

  it('shows values as one would write them', () => {
    expect(display('a')).to.equal(`'a'`);
    expect(display(/a/g)).to.equal('/a/g');
    expect(display([1, 'a'])).to.equal('[1,"a"]');
    expect(display(() => 1)).to.equal('a function');
    expect(display(undefined)).to.equal('undefined');
    expect(display(5n)).to.equal('5n');
    const circular: unknown[] = [1];
    circular.push(circular, new Map());
    expect(display(circular)).to.equal('[1,an object of class Array,an object of class Map]');
    expect(display({n: 1n})).to.equal('an object of class Object');
  });
});
