import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {
  createLlama,
  generate,
  generateBatch,
  type GenerateBatchOptions,
  type Generation,
  type LlamaConfig,
} from '../../../src/llama';
import {Decoder} from '../../../src/llama/generation/decoder';
import {describeBackends} from '../../support/backends';
import {Comparison} from '../../support/close';
import {readJson} from '../../support/fixtures';
import {rejection} from '../../support/rejection';
import {loadCheckpoint} from '../checkpoints';
import {passesThrough} from './passes';

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
const prompts = [[3, 1, 4], [1], [5, 9, 2, 6, 5, 3, 5, 8, 9, 7], [9, 3], [2, 3, 8, 4]];

describeBackends('generateBatch', (backend) => {
  // all that blocks do differently with a cache: a window in none, all and some of them; biases, norms of queries and keys
  for (const name of ['llama3', 'mistral', 'qwen2', 'gemma3'] as const) {
    it(`writes what each prompt gets alone, one of them the text of the reference, ${name}`, async () => {
      const {greedy} = readJson<{greedy: {prompt: number[]; continuation: number[]}}>(
        `llama/${name}`,
      );
      const model = loadCheckpoint(name);
      const before = tf.memory().numTensors;
      const {prompt, continuation} = greedy;
      const all = [prompt.slice(0, 1), prompt, prompt.slice(-3)];
      const options = {maxNewTokens: 10};
      const alone: Generation[] = [];
      for (const ids of all) alone.push(await generate(model, ids, options));
      expect(alone[1]!.ids).to.deep.equal(continuation.slice(0, 10));
      expect(await generateBatch(model, all, {...options, batchSize: 2})).to.deep.equal(alone);
      expect(tf.memory().numTensors).to.equal(before);
      model.dispose();
    });
  }

  it('has the logits of each row alone, as rows of other lengths come and go, with any window', async () => {
    for (const slidingWindow of [null, 1, 4]) {
      const model = createLlama({...tiny, numKeyValueHeads: 1, slidingWindow});
      const before = tf.memory().numTensors;
      const decoder = new Decoder(model);
      const alone: Decoder[] = [];
      const comparison = new Comparison('logits', {rtol: 1e-4, atol: 1e-5});
      const join = (ids: readonly number[]): void => {
        const [row, own] = [new Decoder(model), new Decoder(model)];
        (alone.length === 0 ? decoder : row).read(ids).dispose();
        if (alone.length > 0) decoder.join(row);
        own.read(ids).dispose();
        alone.push(own);
      };
      const step = async (id: number): Promise<void> => {
        const logits = decoder.readEach(alone.map((_, i) => id + i));
        const rows = (await logits.array()) as number[][];
        logits.dispose();
        for (const [i, own] of alone.entries()) {
          const expected = own.read([id + i]);
          comparison.add(`row ${i}`, rows[i]!, await expected.data());
          expected.dispose();
        }
      };
      join(prompts[0]!);
      await step(1);
      join(prompts[2]!);
      join(prompts[1]!);
      await step(2);
      await step(3);
      decoder.select([2, 0]);
      alone[1]!.dispose();
      alone.splice(0, 3, alone[2]!, alone[0]!);
      await step(4);
      join(prompts[4]!);
      await step(5);
      comparison.finish();
      decoder.dispose();
      for (const own of alone) own.dispose();
      expect(tf.memory().numTensors).to.equal(before);
      model.dispose();
    }
  });

  it('draws the same texts whatever the number of them at a time is', async () => {
    const model = createLlama(tiny);
    const sampling = {temperature: 1.2, topP: 0.95, maxNewTokens: 12};
    const alone: Generation[] = [];
    for (const [i, ids] of prompts.entries()) {
      alone.push(await generate(model, ids, {...sampling, seed: (2 ** 32 - 2 + i) % 2 ** 32}));
    }
    for (const batchSize of backend === 'webgpu' ? [3] : [1, 3]) {
      const options = {...sampling, seed: 2 ** 32 - 2, batchSize};
      expect(await generateBatch(model, prompts, options)).to.deep.equal(alone);
    }
    model.dispose();
  });
});

describe('generateBatch', () => {
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

  it('reads prompts alone and then a token of each in one pass, and fills up', async () => {
    const ended: number[] = [];
    const passes = await passesThrough(model, async () => {
      const results = await generateBatch(model, prompts.slice(0, 3), {
        batchSize: 2,
        maxNewTokens: 4,
        onToken: (_, ids, index) => index !== 1 || ids.length < 2,
        onResult: (_, index) => void ended.push(index),
      });
      expect(results.map(({ids}) => ids.length)).to.deep.equal([4, 2, 4]);
      expect(results[1]!.finishReason).to.equal('onToken');
    });
    expect(passes.map(([rows]) => rows)).to.deep.equal([1, 1, 2, 1, 2, 2, 1]);
    expect(ended).to.deep.equal([1, 0, 2]);
  });

  it('fits by default what each prompt leaves, and takes none', async () => {
    const results = await generateBatch(model, prompts);
    expect(results.map(({ids}) => ids.length)).to.deep.equal(prompts.map((ids) => 32 - ids.length));
    expect(await generateBatch(model, [])).to.deep.equal([]);
  });

  it('ends where a signal is aborted, with what there is, and begins no other', async () => {
    for (const [at, lengths] of [
      [0, [1]],
      [1, [2, 2, 2]],
    ] as const) {
      const controller = new AbortController();
      const results = await generateBatch(model, prompts, {
        batchSize: 3,
        signal: controller.signal,
        onToken: (_, ids) => {
          if (ids.length > at) controller.abort();
        },
      });
      expect(results.map(({ids}) => ids.length)).to.deep.equal(lengths);
      for (const {finishReason} of results) expect(finishReason).to.equal('abort');
    }
    expect(await generateBatch(model, prompts, {signal: AbortSignal.abort()})).to.deep.equal([]);
  });

  it('takes notice of a signal where all texts end with their first token', async () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort());
    const many = Array.from({length: 200}, () => [1, 2]);
    const {signal} = controller;
    const results = await generateBatch(model, many, {maxNewTokens: 1, signal});
    expect(results.length).to.be.within(1, 199);
    for (const {finishReason} of results) expect(finishReason).to.equal('length');
  });

  it('passes on what a callback throws, and frees its tensors', async () => {
    for (const name of ['onToken', 'onResult'] as const) {
      let calls = 0;
      const options: GenerateBatchOptions = {
        maxNewTokens: 3,
        [name]: () => {
          if (++calls === 3) throw new Error('enough');
        },
      };
      expect((await rejection(generateBatch(model, prompts, options))).message).to.equal('enough');
      expect(tf.memory().numTensors).to.equal(tensors);
    }
  });

  const wrong: Array<[unknown, Record<string, unknown>, string]> = [
    ['text', {}, "prompts must be an array of lists of token ids; got 'text'"],
    [[[1], 2], {}, 'prompts[1] must be a list of token ids; got 2'],
    [[[1], []], {}, 'prompts[1] must have at least one token'],
    [[[1], [2, 16]], {}, 'prompts[1][1] must be an integer >= 0 and < 16; got 16'],
    [
      [[1], [1, 2, 3]],
      {maxNewTokens: 30},
      'maxNewTokens must be at most 29 for prompts[1], for the model has maxPositionEmbeddings = 32',
    ],
    [[[1]], {batchSize: 0}, 'batchSize must be an integer >= 1; got 0'],
    [[[1]], {onResult: 1}, 'onResult must be a function; got 1'],
    [[[1]], {signal: true}, 'signal must be an AbortSignal; got true'],
    [[[1]], {cache: null}, "unknown option 'cache'"],
  ];
  for (const [ids, options, message] of wrong) {
    it(`refuses ${message}`, async () => {
      const result = generateBatch(model, ids as number[][], options);
      expect((await rejection(result)).message).to.include(`generateBatch: ${message}`);
    });
  }
});
