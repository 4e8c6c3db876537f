import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {
  createLlama,
  generate,
  generateBatch,
  PromptCache,
  type GenerateOptions,
  type Generation,
  type LlamaConfig,
} from '../../../src/llama';
import {describeBackends, thorough} from '../../support/backends';
import {readJson} from '../../support/fixtures';
import {rejection} from '../../support/rejection';
import {loadCheckpoint, referenceNames} from '../checkpoints';

const tiny: LlamaConfig = {
  vocabSize: 16,
  hiddenSize: 8,
  intermediateSize: 12,
  numHiddenLayers: 2,
  numAttentionHeads: 2,
  maxPositionEmbeddings: 32,
  // large enough that the text does not repeat one token
  initializerRange: 1,
  seed: 1,
};

describeBackends('generate, greedily', () => {
  for (const name of referenceNames) {
    it(`writes the text of the reference, ${name}`, async () => {
      const {greedy} = readJson<{greedy: {prompt: number[]; continuation: number[]}}>(
        `llama/${name}`,
      );
      const before = tf.memory().numTensors;
      const model = loadCheckpoint(name);
      const {ids, finishReason} = await generate(model, greedy.prompt, {maxNewTokens: 16});
      expect(ids).to.deep.equal(greedy.continuation);
      expect(finishReason).to.equal('length');
      model.dispose();
      expect(tf.memory().numTensors).to.equal(before);
    });
  }
});

describeBackends('generate, with a penalty for repetition', () => {
  const {greedy} = readJson<{
    greedy: Array<{prompt: number[]; penalty: number; continuation: number[]}>;
  }>('sampling/sampling');
  for (const {prompt, penalty, continuation} of greedy) {
    it(`writes the text of transformers with ${penalty}`, async () => {
      const model = loadCheckpoint('smollm2');
      const options = {maxNewTokens: 24, repetitionPenalty: penalty};
      expect((await generate(model, prompt, options)).ids).to.deep.equal(continuation);
      const batch = await generateBatch(model, [[1, 2], prompt], options);
      expect(batch[1]!.ids).to.deep.equal(continuation);
      // what is read from a cache counts as well
      const cache = new PromptCache(model);
      await generate(model, prompt, {...options, cache});
      expect((await generate(model, prompt, {...options, cache})).ids).to.deep.equal(continuation);
      cache.dispose();
      model.dispose();
    });
  }
});

describe('generate', () => {
  let model: tfl.LayersModel;
  let tensors: number;

  beforeEach(() => {
    model = createLlama(tiny);
    tensors = tf.memory().numTensors;
  });
  afterEach(() => {
    expect(tf.memory().numTensors).to.equal(tensors);
    model.dispose();
  });

  const write = async (options: GenerateOptions, prompt = [3, 1, 4]): Promise<Generation> =>
    generate(model, prompt, options);

  it('takes typed arrays, and by default all positions that are left, up to 128', async () => {
    const ids = Int32Array.from([3, 1, 4]);
    expect((await generate(model, ids)).ids).to.have.length(29);
    const long = createLlama({...tiny, maxPositionEmbeddings: 1000});
    expect((await generate(long, ids)).ids).to.have.length(128);
    long.dispose();
  });

  it('draws the same with the same seed, and other texts with others', async () => {
    const options = {temperature: 1, maxNewTokens: 20};
    const texts = await Promise.all([5, 5, 6].map((seed) => write({...options, seed})));
    expect(texts[1]).to.deep.equal(texts[0]);
    expect(texts[2]!.ids).to.not.deep.equal(texts[0]!.ids);
    const unseeded = await Promise.all([1, 2, 3, 4].map(() => write(options)));
    expect(new Set(unseeded.map(({ids}) => ids.join())).size).to.be.above(1);
  });

  (thorough ? it : it.skip)('draws from the distribution of the model', async () => {
    const sampling = {temperature: 1.5, topK: 9, topP: 0.9, maxNewTokens: 1};
    const runs = 1500;
    const counts = new Array<number>(tiny.vocabSize).fill(0);
    for (let seed = 0; seed < runs; seed++) {
      counts[(await write({...sampling, seed}, [2])).ids[0]!]!++;
    }
    const logits = tf.tidy(() => {
      const all = model.predict(tf.tensor2d([[2]], undefined, 'int32')) as tf.Tensor;
      return Array.from(all.dataSync());
    });
    const order = logits.map((_, id) => id).sort((a, b) => logits[b]! - logits[a]!);
    const weight = (id: number): number => Math.exp(logits[id]! / sampling.temperature);
    const sum = (ids: number[]): number => ids.reduce((total, id) => total + weight(id), 0);
    const nine = order.slice(0, 9);
    const kept = nine.filter((_, rank) => sum(nine.slice(0, rank)) / sum(nine) < 0.9);
    expect(kept.length).to.be.within(3, 8); // both limits are at work
    const chiSquare = kept.reduce((total, id) => {
      const expected = (runs * weight(id)) / sum(kept);
      return total + (counts[id]! - expected) ** 2 / expected;
    }, 0);
    expect(kept.reduce((total, id) => total + counts[id]!, 0)).to.equal(runs);
    // with 7 degrees of freedom it is above this with probability 0.001
    expect(chiSquare).to.be.below(24.3);
  });

  it('takes the most probable token where no other may be drawn', async () => {
    const greedy = await write({maxNewTokens: 12});
    expect(new Set(greedy.ids).size).to.be.above(2);
    for (const options of [{topK: 1}, {topP: 1e-9}, {minP: 1}]) {
      expect(await write({maxNewTokens: 12, temperature: 2, ...options})).to.deep.equal(greedy);
    }
  });

  it('stops after a token and after a sequence', async () => {
    const {ids} = await write({maxNewTokens: 12});
    const first = ids.findIndex((id, i) => i > 2 && !ids.slice(0, i).includes(id));
    const expected = {ids: ids.slice(0, first + 1), finishReason: 'stop'};
    expect(await write({stop: ids[first]!})).to.deep.equal(expected);
    expect(await write({stop: [ids[first]!]})).to.deep.equal(expected);
    expect(await write({stop: null})).to.deep.equal(await write({}));
    expect(await write({stop: [ids.slice(first - 1, first + 1)]})).to.deep.equal(expected);
    // the end of the prompt does not count
    const other = await write({maxNewTokens: 1, stop: [[4, ids[0]!]]});
    expect(other.finishReason).to.equal('length');
  });

  it('tells each token, waits, and ends when told to', async () => {
    const {ids} = await write({maxNewTokens: 12});
    const seen: Array<[number, number[]]> = [];
    let isBusy = false;
    const result = await write({
      maxNewTokens: 12,
      onToken: async (id, sofar) => {
        expect(isBusy).to.equal(false);
        isBusy = true;
        await tf.nextFrame();
        isBusy = false;
        seen.push([id, [...sofar]]);
        return sofar.length < 3;
      },
    });
    expect(result).to.deep.equal({ids: ids.slice(0, 3), finishReason: 'onToken'});
    expect(seen).to.deep.equal([0, 1, 2].map((i) => [ids[i]!, ids.slice(0, i + 1)]));
  });

  it('passes on what onToken throws, and frees its tensors', async () => {
    for (const onToken of [
      () => {
        throw new Error('enough');
      },
      () => Promise.reject(new Error('enough')),
    ]) {
      expect((await rejection(write({onToken}))).message).to.equal('enough');
      expect(tf.memory().numTensors).to.equal(tensors);
    }
  });

  it('says that logits are not finite, and of which prompt', async () => {
    const [head] = model.getLayer('lm_head').getWeights();
    const good = tf.clone(head!);
    // all logits, or that of token 5 alone
    const oneInfinite = tf.buffer(good.shape, 'float32', good.dataSync<'float32'>().slice());
    oneInfinite.set(Infinity, 0, 5);
    for (const [spoiled, value] of [
      [tf.mul(good, NaN), 'NaN for token 0'],
      [oneInfinite.toTensor(), '-?Infinity for token 5'],
    ] as const) {
      model.getLayer('lm_head').setWeights([spoiled]);
      for (const options of [{}, {temperature: 1}]) {
        expect((await rejection(write(options))).message).to.match(
          new RegExp(
            `^generate: the logits at position 3 are not finite \\(${value}\\); are the model's weights\\?$`,
          ),
        );
      }
      expect((await rejection(generateBatch(model, [[3], [1, 4]]))).message).to.match(
        new RegExp(
          `^generateBatch: prompts\\[0\\]: the logits at position 1 are not finite \\(${value}\\)`,
        ),
      );
      spoiled.dispose();
    }
    model.getLayer('lm_head').setWeights([good]);
    good.dispose();
  });

  const wrong: Array<[Record<string, unknown>, string]> = [
    [{maxTokens: 3}, "unknown option 'maxTokens'; did you mean 'maxNewTokens'?"],
    [{maxNewTokens: 0}, 'maxNewTokens must be an integer >= 1; got 0'],
    [
      {maxNewTokens: 30},
      'maxNewTokens must be at most 29, for the model has maxPositionEmbeddings = 32 positions ' +
        'and the prompt takes 3; got 30',
    ],
    [{temperature: -1}, 'temperature must be a number >= 0; got -1'],
    [{topK: 0}, 'topK must be an integer >= 1; got 0'],
    [{topP: 0}, 'topP must be a number > 0 and <= 1; got 0'],
    [{topP: 1.1}, 'topP must be a number > 0 and <= 1; got 1.1'],
    [{minP: 1.1}, 'minP must be a number >= 0 and <= 1; got 1.1'],
    [{repetitionPenalty: 0}, 'repetitionPenalty must be a number > 0; got 0'],
    [{seed: -1}, 'seed must be an integer >= 0 and <= 4294967295; got -1'],
    [{stop: '</s>'}, "stop must be a token id or a list of ids and lists of ids; got '</s>'"],
    [{stop: [3, 16]}, 'stop[1] must be an integer >= 0 and < 16; got 16'],
    [{stop: [[]]}, 'stop[0] must have at least one token'],
    [{onToken: true}, 'onToken must be a function; got true'],
    [{ids: []}, 'ids must have at least one token'],
    [{ids: [1, 16]}, 'ids[1] must be an integer >= 0 and < 16; got 16'],
    [{ids: [1.5]}, 'ids[0] must be an integer >= 0 and < 16; got 1.5'],
    [{ids: 'text'}, "ids must be a list of token ids; got 'text'"],
    [
      {ids: new Array(32).fill(1)},
      'ids must have fewer than maxPositionEmbeddings = 32 tokens, so that one can follow; got 32',
    ],
  ];
  for (const [{ids = [3, 1, 4], ...options}, message] of wrong) {
    it(`refuses ${message}`, async () => {
      const result = generate(model, ids as number[], options);
      expect((await rejection(result)).message).to.include(`generate: ${message}`);
    });
  }

  it('refuses another model', async () => {
    const dense = tfl.sequential({layers: [tfl.layers.dense({units: 1, inputShape: [1]})]});
    expect((await rejection(generate(dense, [1]))).message).to.match(
      /^generate: the model must be one of createLlama; its layer '.*' is a Dense$/,
    );
    dense.dispose();
  });
});
