import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {
  LayerSamplingCallback,
  OwLoreOptimizer,
  resumeCheckpoint,
  saveCheckpoint,
} from '../../src/index';
import {parseSafetensors} from '../../src/files/safetensors';
import {
  createLlama,
  loadLlama,
  logLikelihoods,
  perplexity,
  saveLlama,
  sparseCrossEntropy,
} from '../../src/llama';
import {Decoder} from '../../src/llama/generation/decoder';
import {startMemoryMeter} from '../../src/memory/meter';
import {packedWeight} from '../../src/model/packed_weight';
import {describeFastBackends} from '../support/backends';
import {held} from '../support/sentinels';
import {expectWarning} from '../support/warnings';

const [BATCHES, ROWS, LENGTH] = [4, 2, 6];
/** Odd, so that the head's rows do not begin with whole numbers of the packed tensor. */
const VOCABULARY = 37;
type Files = Map<string, Uint8Array>;

interface Kind {
  tied: boolean;
  headInLoss?: boolean;
  vocabSize?: number;
  hiddenSize?: number;
}

/** A small model as files in BF16, so that the float32 model has the same weights. */
async function filesOf({tied, vocabSize = VOCABULARY, hiddenSize = 16}: Kind): Promise<Files> {
  const model = createLlama({
    ...{vocabSize, hiddenSize, intermediateSize: 24, numHiddenLayers: 2},
    ...{numAttentionHeads: 2, tieWordEmbeddings: tied, initializerRange: 0.3, seed: 1},
  });
  const files: Files = new Map();
  await saveLlama(model, files, {dtype: 'BF16'});
  model.dispose();
  return files;
}

/** Batches of token ids, and the next ones as labels, the first of each batch not counted. */
function batches(vocabulary = VOCABULARY): Array<{xs: tf.Tensor2D; ys: tf.Tensor3D}> {
  return Array.from({length: BATCHES}, (_, i) =>
    tf.tidy(() => {
      const ids = tf.randomUniformInt<tf.Rank.R2>([ROWS, LENGTH + 1], 0, vocabulary, 5 + i);
      const next = tf.slice(ids, [0, 2], [ROWS, LENGTH - 1]);
      const labels = tf.concat([tf.fill([ROWS, 1], -100, 'int32'), next], 1);
      return {xs: tf.slice(ids, [0, 0], [ROWS, LENGTH]), ys: tf.expandDims(labels, 2)};
    }),
  );
}

interface Training {
  model: tfl.LayersModel;
  optimizer: OwLoreOptimizer;
  callback: LayerSamplingCallback;
}

/** A training of one block of two at a time, with embedding and head frozen. */
async function prepare(
  files: Files,
  frozenDtype: 'F32' | 'BF16',
  headInLoss: boolean,
): Promise<Training> {
  const {model} = await loadLlama(files, {frozenDtype, headInLoss});
  for (const layer of tokenLayers(model)) layer.trainable = false;
  const optimizer = new OwLoreOptimizer({learningRate: 0.01, rank: 4});
  model.compile({optimizer, loss: sparseCrossEntropy});
  return {model, optimizer, callback: new LayerSamplingCallback({gamma: 1, interval: 2, seed: 3})};
}

const tokenLayers = (model: tfl.LayersModel): tfl.layers.Layer[] =>
  model.layers.filter(({name}) => name === 'model.embed_tokens' || name === 'lm_head');

async function fit({model, callback}: Training, from = 0, vocabulary?: number): Promise<number[]> {
  const losses: number[] = [];
  const logger = new tfl.CustomCallback({
    onBatchEnd: async (_, logs) => void losses.push(logs!.loss!),
  });
  const all = batches(vocabulary);
  const [x, y] = [
    tf.concat(all.slice(from).map(({xs}) => xs)),
    tf.concat(all.slice(from).map(({ys}) => ys)),
  ];
  const options = {batchSize: ROWS, shuffle: false, verbose: 0 as const};
  await model.fit(x, y, {...options, callbacks: [callback, logger]});
  tf.dispose([x, y, ...all.flatMap(({xs, ys}) => [xs, ys])]);
  return losses;
}

function dispose({model, optimizer}: Training): void {
  optimizer.dispose();
  model.dispose();
}

const arePacked = (model: tfl.LayersModel): boolean =>
  tokenLayers(model).every(({weights}) => packedWeight(weights[0]!)!.isPacked);

describeFastBackends(
  "frozenDtype: 'BF16', of embedding and head",
  function (this: Mocha.Suite, backend) {
    if (backend === 'webgl') return;
    this.timeout(backend === 'webgpu' ? 240_000 : 60_000); // there in software
    let start: ReturnType<typeof held>;
    beforeEach(() => (start = held()));
    afterEach(() => expect(held()).to.deep.equal(start));

    for (const tied of [true, false]) {
      const kind = tied ? 'tied' : 'untied';

      for (const headInLoss of [true, false]) {
        it(`trains as in float32, ${kind}, head in ${headInLoss ? 'loss' : 'model'}`, async () => {
          const files = await filesOf({tied});
          const [floats, halves] = [
            await prepare(files, 'F32', headInLoss),
            await prepare(files, 'BF16', headInLoss),
          ];
          const [expected, losses] = [await fit(floats), await fit(halves)];
          // Blocks are rounded when they are turned off, which is before the third batch.
          losses.slice(0, 2).forEach((loss, i) => expect(loss).to.be.closeTo(expected[i]!, 1e-5));
          losses.forEach((loss, i) => expect(loss).to.be.closeTo(expected[i]!, 0.01));
          expect(arePacked(halves.model)).to.equal(true);
          const saved: Files = new Map();
          await saveLlama(halves.model, saved, {dtype: 'BF16'});
          const [before, after] = [files, saved].map(
            (all) => parseSafetensors(all.get('model.safetensors')!).tensors,
          );
          for (const {name} of tokenLayers(halves.model)) {
            expect(after!.get(`${name}.weight`)).to.deep.equal(before!.get(`${name}.weight`));
          }
          dispose(floats);
          dispose(halves);
        });
      }

      it(`generates and evaluates as in float32, ${kind}`, async () => {
        const files = await filesOf({tied});
        const [{model: floats}, {model: halves}] = [
          await loadLlama(files),
          await loadLlama(files, {frozenDtype: 'BF16'}),
        ];
        const logits: tf.Tensor[] = [];
        const losses: number[] = [];
        const likelihoods: number[] = [];
        for (const model of [floats, halves]) {
          const decoder = new Decoder(model);
          logits.push(...[[3, 1, 4], [1], [5]].map((ids) => decoder.read(ids)));
          decoder.dispose();
          losses.push((await perplexity(model, batches())).loss);
          const requests = [
            {context: [1, 2], continuation: [3, 4]},
            {context: [5], continuation: [6]},
          ];
          for (const {logLikelihood} of await logLikelihoods(model, requests))
            likelihoods.push(logLikelihood);
        }
        const [expected, actual] = [logits.slice(0, 3), logits.slice(3)].map((parts) =>
          tf.tidy(() => tf.concat(parts)),
        );
        const values = await expected!.data();
        (await actual!.data()).forEach((x, i) => expect(x).to.be.closeTo(values[i]!, 1e-5));
        tf.dispose([...logits, expected!, actual!]);
        expect(losses[1]).to.be.closeTo(losses[0]!, 1e-5);
        expect(likelihoods[2]).to.be.closeTo(likelihoods[0]!, 1e-5);
        expect(likelihoods[3]).to.be.closeTo(likelihoods[1]!, 1e-5);
        floats.dispose();
        halves.dispose();
      });
    }

    it('goes on from a checkpoint to the last bit', async () => {
      expectWarning(/at most 1 of 2 blocks/);
      const files = await filesOf({tied: true});
      const whole = await prepare(files, 'BF16', true);
      const losses = await fit(whole);
      dispose(whole);
      const first = await prepare(files, 'BF16', true);
      const own = batches();
      const data = {x: own[0]!.xs, y: own[0]!.ys};
      const inOrder = {shuffle: false, verbose: 0 as const};
      await first.model.fit(data.x, data.y, {...inOrder, callbacks: [first.callback]});
      const checkpoint: Files = new Map();
      await saveCheckpoint(checkpoint, first);
      dispose(first);
      const resumed = await prepare(files, 'BF16', true);
      await resumeCheckpoint(checkpoint, resumed);
      expect(arePacked(resumed.model)).to.equal(true);
      expect(await fit(resumed, 1)).to.deep.equal(losses.slice(1));
      dispose(resumed);
      tf.dispose(own.flatMap(({xs, ys}) => [xs, ys]));
    });

    // cpu takes seconds, by the same code as elsewhere
    const counts = backend === 'cpu' ? it.skip : it;

    counts('never has the embedding in float32', async () => {
      expectWarning(/at most 1 of 2 blocks/);
      const [vocabSize, hiddenSize] = [60_000, 64];
      const files = await filesOf({tied: true, vocabSize, hiddenSize});
      const meter = startMemoryMeter();
      const training = await prepare(files, 'BF16', true);
      const size = 4 * vocabSize * hiddenSize;
      const loaded = meter.current();
      expect(loaded).to.be.within(size / 2, size / 2 + 1e5);
      expect(meter.peak()).to.be.at.most(loaded + 64);
      await fit(training, BATCHES - 2, vocabSize);
      const evaluated = batches(vocabSize);
      await perplexity(training.model, evaluated);
      // a piece of the embedding of 2²⁰ numbers, and the logits of its tokens
      expect(meter.peak() - loaded).to.be.below(size / 2);
      dispose(training);
      meter.stop();
    });
  },
);
