import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {createLlama, generate, PromptCache, type LlamaConfig} from '../../../src/llama';
import {PROMPT_PIECE} from '../../../src/llama/generation/write_texts';
import {rejection} from '../../support/rejection';
import {passesThrough} from './passes';

const config: LlamaConfig = {
  vocabSize: 16,
  hiddenSize: 8,
  intermediateSize: 12,
  numHiddenLayers: 2,
  numAttentionHeads: 2,
  initializerRange: 1,
  seed: 1,
};

/** How many tokens each pass through the first block reads, while `body` runs. */
async function tokensOfPasses(
  model: tfl.LayersModel,
  body: () => Promise<unknown>,
): Promise<number[]> {
  return (await passesThrough(model, body)).map(([, tokens]) => tokens);
}

describe('generate, with a long prompt', () => {
  it('reads it in pieces, and writes what follows the whole', async () => {
    const model = createLlama(config);
    const prompt = Array.from({length: PROMPT_PIECE + 9}, (_, i) => (7 * i * i) % 16);
    const tokens = await tokensOfPasses(model, async () => {
      const {ids} = await generate(model, prompt, {maxNewTokens: 2});
      const whole = tf.tidy(() => {
        const all = model.predict(tf.tensor2d([prompt], undefined, 'int32')) as tf.Tensor;
        return tf.argMax(tf.slice(all, [0, prompt.length - 1, 0], [1, 1, 16]), -1).dataSync()[0];
      });
      expect(ids[0]).to.equal(whole);
    });
    expect(tokens).to.deep.equal([PROMPT_PIECE, 9, 1, prompt.length]);
    model.dispose();
  });

  it('ends between two pieces when a signal is aborted', async () => {
    const model = createLlama(config);
    const controller = new AbortController();
    setTimeout(() => controller.abort());
    const tokens = await tokensOfPasses(model, async () => {
      const prompt = new Array<number>(4 * PROMPT_PIECE).fill(1);
      const cache = new PromptCache(model);
      const result = await generate(model, prompt, {signal: controller.signal, cache});
      expect(result).to.deep.equal({ids: [], finishReason: 'abort'});
      expect(cache.length).to.equal(0);
    });
    expect(tokens.length).to.be.below(4);
    model.dispose();
  });
});

describe('PromptCache', () => {
  let model: tfl.LayersModel;
  let tensors: number;
  let cache: PromptCache;
  beforeEach(() => {
    model = createLlama(config);
    tensors = tf.memory().numTensors;
    cache = new PromptCache(model);
  });
  afterEach(() => {
    cache.dispose();
    expect(cache.length).to.equal(0);
    expect(tf.memory().numTensors).to.equal(tensors);
    model.dispose();
  });

  /** The passes of a prompt with the cache, which must write what it gets without. */
  const passes = async (prompt: number[], maxNewTokens = 3): Promise<number[]> => {
    const expected = await generate(model, prompt, {maxNewTokens});
    return tokensOfPasses(model, async () => {
      expect(await generate(model, prompt, {maxNewTokens, cache})).to.deep.equal(expected);
    });
  };

  it('reads only what a prompt has beyond the text before it', async () => {
    const prompt = [3, 1, 4, 1, 5];
    expect(await passes(prompt)).to.deep.equal([5, 1, 1]);
    expect(cache.length).to.equal(7);
    const {ids} = await generate(model, prompt, {maxNewTokens: 3});
    const next = [...prompt, ...ids, 9, 2];
    expect(await passes(next)).to.deep.equal([3, 1, 1]);
    expect(cache.length).to.equal(12);
    // the same once more: the last token is read for what comes after it
    expect(await passes(next)).to.deep.equal([1, 1, 1]);
  });

  it('goes on where a prompt differs from the text before it', async () => {
    await passes([3, 1, 4, 1, 5]);
    expect(await passes([3, 1, 4, 2, 7, 7])).to.deep.equal([3, 1, 1]);
    expect(await passes([8, 1])).to.deep.equal([2, 1, 1]);
  });

  it('reads all anew if a window has forgotten keys that are needed', async () => {
    model.dispose();
    model = createLlama({...config, slidingWindow: 6});
    cache = new PromptCache(model);
    await passes([3, 1, 4], 2);
    expect(await passes([3, 1, 2, 2], 2)).to.deep.equal([2, 1]);
    await passes([3, 1, 2, 2, 3, 4, 5, 6], 2);
    expect(await passes([3, 1, 2, 2, 3, 4, 5, 7], 2)).to.deep.equal([8, 1]);
    const {ids} = await generate(model, [3, 1, 2, 2, 3, 4, 5, 7], {maxNewTokens: 2});
    expect(await passes([3, 1, 2, 2, 3, 4, 5, 7, ...ids, 1], 2)).to.deep.equal([2, 1]);
  });

  it('cannot be disposed of while it is in use', async () => {
    const expected = await generate(model, [3, 1, 4], {maxNewTokens: 3});
    const messages: string[] = [];
    const onToken = (): void => {
      try {
        cache.dispose();
      } catch (error) {
        messages.push((error as Error).message);
      }
    };
    expect(await generate(model, [3, 1, 4], {cache, maxNewTokens: 3, onToken})).to.deep.equal(
      expected,
    );
    expect(messages).to.have.length(3);
    expect(messages[0]).to.match(/^PromptCache\.dispose: it is in use by a call of generate; wait/);
    expect(await passes([3, 1, 4, 5])).to.deep.equal([1, 1, 1]);
  });

  it('is empty after an error, and refuses another model and two calls at a time', async () => {
    await passes([3, 1, 4]);
    const onToken = (): never => {
      throw new Error('enough');
    };
    await rejection(generate(model, [3, 1, 4, 5], {cache, onToken}));
    expect(cache.length).to.equal(0);
    const other = createLlama(config);
    expect((await rejection(generate(other, [1], {cache}))).message).to.equal(
      'generate: cache is of another model',
    );
    other.dispose();
    const first = generate(model, [1], {cache, maxNewTokens: 2});
    expect((await rejection(generate(model, [1], {cache}))).message).to.equal(
      'generate: cache is in use by a call that has not ended',
    );
    await first;
    expect(cache.length).to.equal(2);
    const wrong = generate(model, [1], {cache: {} as PromptCache});
    expect((await rejection(wrong)).message).to.match(
      /^generate: cache must be a PromptCache; got/,
    );
  });
});
