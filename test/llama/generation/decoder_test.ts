import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import fc from 'fast-check';
import {createLlama, type LlamaConfig} from '../../../src/llama';
import {Decoder} from '../../../src/llama/generation/decoder';
import {describeBackends} from '../../support/backends';
import {Comparison} from '../../support/close';
import {readJson, readTensors} from '../../support/fixtures';
import {withProductsOfTfjs} from '../../support/webgpu_products';
import {loadCheckpoint, referenceNames, type CheckpointName} from '../checkpoints';

/** Logits after each piece of `ids`, and how many tensors are left after the decoder is disposed of. */
async function logitsByPieces(
  model: tfl.LayersModel,
  pieces: ReadonlyArray<readonly number[]>,
): Promise<ArrayLike<number>[]> {
  const before = tf.memory().numTensors;
  const decoder = new Decoder(model);
  const results: ArrayLike<number>[] = [];
  for (const piece of pieces) {
    const logits = decoder.read(piece);
    results.push(await logits.data());
    logits.dispose();
  }
  decoder.dispose();
  expect(tf.memory().numTensors).to.equal(before);
  return results;
}

/** The logits of a fixture's last tokens are those of the reference, where so many are read one by one. */
async function expectReference(name: CheckpointName, tokens: number): Promise<void> {
  const {tolerance} = readJson<{
    tolerance: {plain: {logits: {rtol: number; atol: number; rms: number}}};
  }>(`llama/${name}`);
  const tensors = readTensors(`llama/${name}`);
  const [, seq] = tensors.get('ids')!.shape as [number, number];
  const ids = [...tensors.get('ids')!.values.slice(0, seq)];
  const {shape, values} = tensors.get('logits')!;
  const vocab = shape[2]!;
  const model = loadCheckpoint(name);
  const comparison = new Comparison(name, tolerance.plain.logits);
  const logits = await logitsByPieces(model, [
    ids.slice(0, seq - tokens),
    ...ids.slice(seq - tokens).map((id) => [id]),
  ]);
  logits.forEach((tokenLogits, i) => {
    const row = seq - tokens - 1 + i;
    comparison.add(`token ${row}`, tokenLogits, values.slice(row * vocab, (row + 1) * vocab));
  });
  comparison.finish();
  model.dispose();
}

describeBackends('Decoder', (backend) => {
  for (const name of referenceNames) {
    it(`has the logits of the reference token by token, ${name}`, () => expectReference(name, 10));
  }

  if (backend === 'webgpu') {
    it('has them by the products that tfjs chooses', async function () {
      this.timeout(60_000); // a driver in software takes half a second for a token
      await withProductsOfTfjs(() => expectReference('llama2', 2));
    });
  }

  it('keeps with a window no more than its keys, without one those of each token', async () => {
    const sizes = {numHiddenLayers: 3, numAttentionHeads: 2, numKeyValueHeads: 1, headDim: 4};
    const others = {vocabSize: 16, hiddenSize: 8, intermediateSize: 12};
    // keys and values of a position
    const bytes = 2 * sizes.numHiddenLayers * sizes.headDim * 4;
    for (const slidingWindow of [null, 1, 6]) {
      const model = createLlama({...sizes, ...others, slidingWindow});
      const before = tf.memory().numBytes;
      const decoder = new Decoder(model);
      for (let read = 1; read < 12; read++) {
        decoder.read([read]).dispose();
        const kept = Math.min(read, (slidingWindow ?? Infinity) - 1);
        expect(tf.memory().numBytes - before).to.equal(kept * bytes);
      }
      decoder.dispose();
      expect(tf.memory().numBytes).to.equal(before);
      model.dispose();
    }
  });

  it('keeps with a window in some blocks the keys that each one sees', () => {
    const model = createLlama({
      ...{architecture: 'gemma3', vocabSize: 16, hiddenSize: 8, intermediateSize: 12},
      ...{numHiddenLayers: 3, numAttentionHeads: 2, numKeyValueHeads: 1, headDim: 4},
      slidingWindow: 6,
      layerTypes: ['sliding_attention', 'full_attention', 'sliding_attention'],
    });
    const before = tf.memory().numBytes;
    const decoder = new Decoder(model);
    for (let read = 1; read < 12; read++) {
      decoder.read([read]).dispose();
      const kept = read + 2 * Math.min(read, 5);
      expect(tf.memory().numBytes - before).to.equal(kept * 2 * 4 * 4);
    }
    decoder.dispose();
    expect(tf.memory().numBytes).to.equal(before);
    model.dispose();
  });

  it('reads pieces of any size, with any window, as the model reads all at once', async () => {
    const config: LlamaConfig = {
      vocabSize: 16,
      hiddenSize: 12,
      intermediateSize: 12,
      numHiddenLayers: 2,
      numAttentionHeads: 6,
      numKeyValueHeads: 2,
      headDim: 4,
      attentionBias: true,
      initializerRange: 0.5,
      seed: 1,
    };
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.nat(15), {minLength: 1, maxLength: 9}), {minLength: 1, maxLength: 5}),
        fc.option(fc.integer({min: 1, max: 12})),
        fc.boolean(),
        async (pieces, slidingWindow, tieWordEmbeddings) => {
          const model = createLlama({...config, slidingWindow, tieWordEmbeddings});
          const logits = await logitsByPieces(model, pieces);
          const all = tf.tidy(() => {
            const ids = tf.tensor2d([pieces.flat()], undefined, 'int32');
            return tf.squeeze<tf.Tensor2D>(model.predict(ids) as tf.Tensor, [0]);
          });
          const rows = await all.array();
          // single precision, sums in another order
          const comparison = new Comparison('logits', {rtol: 1e-4, atol: 1e-5});
          let read = 0;
          pieces.forEach((piece, i) => {
            read += piece.length;
            comparison.add(`after ${read}`, logits[i]!, rows[read - 1]!);
          });
          comparison.finish();
          all.dispose();
          model.dispose();
        },
      ),
      {numRuns: backend === 'webgpu' ? 3 : 25},
    );
  }).timeout(120_000);
});
