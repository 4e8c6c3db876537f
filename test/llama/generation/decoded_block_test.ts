/** Blocks of a model by the kernel for the next position of each row: where it runs, and that it computes what the ops do. */
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {MAX_DECODED_TOGETHER} from '../../../src/kernels/llama/block_features';
import {OwLoreDecodeBlock, OwLoreDecodeBlocks} from '../../../src/kernels/llama/kernel_names';
import {withVisibleProducts} from '../../../src/kernels/products';
import * as tensorflow from '../../../src/kernels/tensorflow';
import * as wasm from '../../../src/kernels/wasm';
import {createLlama, generate, generateBatch, type LlamaConfig} from '../../../src/llama';
import {Decoder} from '../../../src/llama/generation/decoder';
import {backends, defaultBackend} from '../../support/backends';
import {Comparison} from '../../support/close';
import {readJson} from '../../support/fixtures';
import {loadCheckpoint, type CheckpointName} from '../checkpoints';

const config: LlamaConfig = {
  vocabSize: 16,
  hiddenSize: 16,
  intermediateSize: 12,
  numHiddenLayers: 2,
  numAttentionHeads: 6,
  numKeyValueHeads: 2,
  headDim: 4,
  attentionBias: true,
  initializerRange: 0.5,
  seed: 1,
};

/** How many blocks `body` computes by the kernels: by each run, those of each of its runs. */
async function runsIn(body: () => Promise<unknown>, sizes: number[] = []): Promise<number> {
  let runs = 0;
  const engine = tf.engine();
  const runKernel = engine.runKernel.bind(engine);
  engine.runKernel = (name, inputs, attrs) => {
    if (name === OwLoreDecodeBlock) runs++;
    if (name === OwLoreDecodeBlocks) {
      const blocks = Number(attrs!['blocks']);
      runs += blocks;
      sizes.push(blocks);
    }
    return runKernel<never>(name, inputs, attrs);
  };
  try {
    await body();
  } finally {
    Reflect.deleteProperty(engine, 'runKernel');
  }
  return runs;
}

const blocksOf = (model: tfl.LayersModel): number =>
  model.layers.filter((layer) => layer.getClassName() === 'LlamaBlock').length;

for (const [backend, kernels] of [
  ['wasm', wasm],
  ['tensorflow', tensorflow],
] as const) {
  (backends.includes(backend) ? describe : describe.skip)(`a decoded block [${backend}]`, () => {
    before(async () => {
      await tf.setBackend(backend);
      await kernels.installKernels();
    });
    after(async () => {
      if (backend === 'tensorflow') kernels.uninstallKernels();
      await tf.setBackend(defaultBackend);
    });

    const tokens = 8;
    /** By architecture, for how many of the blocks of a model each new token but the first runs the kernel. */
    const parts = {llama3: 1, qwen2: 1, qwen3: 0, gemma3: 0} satisfies Partial<
      Record<CheckpointName, number>
    >;
    for (const [name, part] of Object.entries(parts) as Array<[keyof typeof parts, number]>) {
      it(`is one kernel for ${part === 0 ? 'no' : 'each'} token of ${name}, whose text is the reference's`, async () => {
        const {greedy} = readJson<{greedy: {prompt: number[]; continuation: number[]}}>(
          `llama/${name}`,
        );
        const model = loadCheckpoint(name);
        const runs = await runsIn(async () => {
          const {ids} = await generate(model, greedy.prompt, {maxNewTokens: tokens});
          expect(ids).to.deep.equal(greedy.continuation.slice(0, tokens));
        });
        expect(runs).to.equal(part * (tokens - 1) * blocksOf(model));
        model.dispose();
      });
    }

    it('has the logits of the ops, for many positions, and leaves nothing', async () => {
      const model = createLlama(config);
      const before = tf.memory();
      const [decoder, composed] = [new Decoder(model), new Decoder(model)];
      const comparison = new Comparison('logits', {rtol: 1e-4, atol: 1e-5});
      const positions = 70;
      const runs = await runsIn(async () => {
        for (const each of [decoder, composed]) each.read([3, 1]).dispose();
        for (let i = 0; i < positions; i++) {
          const logits = decoder.read([(5 * i) % 16]);
          const expected = withVisibleProducts(() => composed.read([(5 * i) % 16]));
          comparison.add(`token ${i}`, await logits.data(), await expected.data());
          tf.dispose([logits, expected]);
        }
      });
      comparison.finish();
      expect(runs).to.equal(positions * 2);
      // keys and values of both, in whatever parts
      const bytes = 2 * (positions + 2) * 2 * (2 * 2 * 4) * 4;
      expect(tf.memory().numBytes - before.numBytes).to.equal(bytes);
      for (const each of [decoder, composed]) each.dispose();
      expect(tf.memory().numTensors).to.equal(before.numTensors);
      model.dispose();
    });

    it('is one kernel for several rows, where they have seen more and fewer positions', async () => {
      const model = createLlama(config);
      const prompts = [[3, 1, 4, 1, 5, 9, 2, 6], [5], [3, 5]];
      const options = {maxNewTokens: 12};
      const alone: unknown[] = [];
      for (const ids of prompts) alone.push(await generate(model, ids, options));
      const runs = await runsIn(async () => {
        expect(await generateBatch(model, prompts, options)).to.deep.equal(alone);
      });
      expect(runs).to.equal(11 * 2);
      model.dispose();
    });

    it('is computed with others, as many as a kernel takes, to the same text as alone', async () => {
      const blocks = MAX_DECODED_TOGETHER + 1;
      const model = createLlama({...config, numHiddenLayers: blocks});
      const sizes: number[] = [];
      const decoder = new Decoder(model);
      const alone = new Decoder(model);
      const comparison = new Comparison('logits', {rtol: 1e-4, atol: 1e-4});
      for (const each of [decoder, alone]) each.read([3, 1]).dispose();
      for (let i = 0; i < 3; i++) {
        let logits: tf.Tensor | undefined;
        await runsIn(() => Promise.resolve((logits = decoder.read([i]))), sizes);
        const expected = withVisibleProducts(() => alone.read([i]));
        comparison.add(`token ${i}`, await logits!.data(), await expected.data());
        tf.dispose([logits!, expected]);
      }
      comparison.finish();
      expect(sizes).to.deep.equal([5, 4, 5, 4, 5, 4]);
      for (const each of [decoder, alone]) each.dispose();
      model.dispose();
    });

    it('is computed with those that have the same window', async () => {
      const model = createLlama({
        ...config,
        ...{architecture: 'mistral', attentionBias: false, slidingWindow: 40},
        numHiddenLayers: 3,
      });
      const sizes: number[] = [];
      await runsIn(() => generate(model, [3, 1], {maxNewTokens: 3}), sizes);
      expect(sizes).to.deep.equal([3, 3]);
      model.dispose();
    });

    it('is one kernel with a window until that hides a position', async () => {
      const slidingWindow = 6;
      const model = createLlama({
        ...config,
        architecture: 'mistral',
        attentionBias: false,
        slidingWindow,
      });
      const runs = await runsIn(async () => {
        await generate(model, [3, 1], {maxNewTokens: 12});
      });
      // tokens 3 to 5 leave no more than five positions, which the next one sees beside itself
      expect(runs).to.equal(3 * 2);
      model.dispose();
    });
  });
}
