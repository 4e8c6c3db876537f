import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {createLlama, sparseCrossEntropy, type LlamaConfig} from '../../src/llama';
import {OwLoreOptimizer} from '../../src';
import {readsSynchronously} from '../../src/kernels/capabilities';
import {variableGrads} from '../../src/tape/tfjs_gradients';
import {describeFastBackends} from '../support/backends';
import {readJson, readTensors, toTensor} from '../support/fixtures';
import {loadCheckpoint, referenceNames} from './checkpoints';
import {expectClose, gradients, shift, type Reference} from './reference';
import * as composed from '../../tools/composed';
import {createComposedLlama} from '../../tools/composed_model';

const tiny: LlamaConfig = {
  vocabSize: 16,
  hiddenSize: 8,
  intermediateSize: 12,
  numHiddenLayers: 2,
  numAttentionHeads: 2,
  seed: 1,
};

const tapes = {stock: tf.variableGrads, lean: variableGrads};

describeFastBackends('createLlama', (backend) => {
  // webgl's shaders take exp, sin and cos as the driver has them, and after some steps of Adam that shows.
  const rounding = backend === 'webgl' ? 2e-4 : 1e-5;
  for (const name of referenceNames) {
    describe(`checkpoint ${name}`, () => {
      const reference = readJson<Reference>(`llama/${name}`);
      const tensors = readTensors(`llama/${name}`);
      const [, seq] = tensors.get('ids')!.shape as [number, number];
      let model: tfl.LayersModel;

      before(() => {
        model = loadCheckpoint(name);
      });
      after(() => {
        model.dispose();
      });

      for (const kind of ['plain', 'padded'] as const) {
        const prefix = kind === 'plain' ? '' : 'padded.';
        const {logits: logitsTolerance, loss: lossTolerance, grad} = reference.tolerance[kind];

        it(`has the logits of the reference, ${kind}`, async () => {
          const ids = toTensor(tensors.get(`${prefix}ids`)!);
          const logits = model.predict(ids) as tf.Tensor;
          const vocab = logits.shape[2]!;
          const mask = tensors.get(`${prefix}mask`)?.values;
          const real = (_: number, i: number) => !mask || mask[Math.floor(i / vocab)] === 1;
          expectClose(
            (await logits.data()).filter(real),
            tensors.get(`${prefix}logits`)!.values.filter(real),
            logitsTolerance,
          );
          tf.dispose([ids, logits]);
        });

        for (const [tapeName, tape] of Object.entries(tapes)) {
          it(`has its loss and the gradient of every weight, ${kind}, on the ${tapeName} tape`, async () => {
            const ids = toTensor(tensors.get(`${prefix}ids`)!);
            const target = tensors.get(`${prefix}labels`) ?? tensors.get('ids')!;
            const labels = shift(target.values, seq);
            const {loss, grads} = await gradients(model, ids, labels, tape);
            expectClose([loss], [reference.cases[kind].loss], lossTolerance);
            const names = [...tensors.keys()].filter((key) => key.startsWith(`${prefix}grad.`));
            expect(grads.size).to.equal(names.length);
            expectClose(
              names.flatMap((key) => [...Array.from(grads.get(key.slice(prefix.length + 5))!)]),
              names.flatMap((key) => [...tensors.get(key)!.values]),
              grad,
            );
            tf.dispose([ids, labels]);
          });
        }
      }

      it('has the gradients of some weights of a block alone', async () => {
        const ids = toTensor(tensors.get('ids')!);
        const labels = shift(tensors.get('ids')!.values, seq);
        const {grads} = await gradients(model, ids, labels, variableGrads, (i) => i % 4 === 1);
        const keys = [...grads.keys()];
        expectClose(
          keys.flatMap((key) => [...Array.from(grads.get(key)!)]),
          keys.flatMap((key) => [...tensors.get(`grad.${key}`)!.values]),
          reference.tolerance.plain.grad,
        );
        tf.dispose([ids, labels]);
      });

      it('writes the text of the reference', async () => {
        const {prompt, continuation} = reference.greedy;
        const text = [...prompt];
        for (let i = 0; i < continuation.length; i++) {
          const next = tf.tidy(() => {
            const logits = model.predict(tf.tensor2d([text], undefined, 'int32')) as tf.Tensor3D;
            return tf.argMax(tf.slice(logits, [0, text.length - 1, 0], [1, 1, -1]), -1);
          });
          text.push((await next.data())[0]!);
          next.dispose();
        }
        expect(text.slice(prompt.length)).to.deep.equal(continuation);
      });
    });
  }

  it('learns by fit and leaves nothing behind', async () => {
    const ids = tf.tensor2d([[1, 2, 3, 4, 5, 6, 7, 8]], undefined, 'int32');
    const labels = tf.tensor3d([[[2], [3], [4], [5], [6], [7], [8], [-100]]]);
    const model = createLlama(tiny);
    model.compile({optimizer: tf.train.adam(0.05), loss: sparseCrossEntropy});
    const {history} = await model.fit(ids, labels, {epochs: 2, verbose: 0});
    const tensorsAfterTwo = tf.memory().numTensors;
    const longer = await model.fit(ids, labels, {epochs: 6, verbose: 0});
    expect(tf.memory().numTensors).to.equal(tensorsAfterTwo);
    expect(history['loss']![0]).to.be.closeTo(Math.log(16), 0.1);
    expect(longer.history['loss']!.at(-1)).to.be.below(1.5);
    model.dispose();
    model.optimizer.dispose();
    tf.dispose([ids, labels]);
  });

  const [full, sliding] = ['full_attention', 'sliding_attention'] as const;
  const trained: Array<Partial<LlamaConfig>> = [
    {},
    {attentionBias: true, slidingWindow: 20},
    {architecture: 'qwen3'},
    {
      ...{architecture: 'gemma3', slidingWindow: 20, layerTypes: [sliding, full]},
      ...{ropeLocalBaseFreq: 100, queryPreAttnScalar: 5, initializerRange: 0.2},
    },
  ];
  // On cpu and webgpu's software driver the plainest and the one with most parts.
  const isShort = backend === 'cpu' || backend === 'webgpu';
  for (const options of isShort ? [trained[0]!, trained.at(-1)!] : trained) {
    it(`trains as the composition of plain ops does, ${JSON.stringify(options)}`, async function () {
      this.timeout(300_000); // software WebGPU takes a second for some steps
      const config = {...tiny, ...options, numAttentionHeads: 4, numKeyValueHeads: 2};
      const ids = tf.randomUniform([2, 70], 0, 16, 'int32', 1); // more positions than one chunk
      const labels = tf.expandDims(ids, 2);
      const lossesOf = async (
        model: tfl.LayersModel,
        optimizer: tf.Optimizer,
        loss: typeof sparseCrossEntropy,
      ): Promise<number[]> => {
        model.compile({optimizer, loss});
        const {history} = await model.fit(ids, labels, {epochs: 4, verbose: 0});
        model.dispose();
        optimizer.dispose();
        return history['loss'] as number[];
      };
      const expected = await lossesOf(
        createComposedLlama(config),
        tf.train.adam(0.01),
        composed.sparseCrossEntropy,
      );
      const optimizers = [
        tf.train.adam(0.01),
        new OwLoreOptimizer({learningRate: 0.01, project: false, epsilon: 1e-7}),
      ];
      for (const optimizer of optimizers) {
        const losses = await lossesOf(createLlama(config), optimizer, sparseCrossEntropy);
        losses.forEach((loss, i) => expect(loss / expected[i]!).to.be.closeTo(1, rounding));
      }
      expect(expected.at(-1)! / expected[0]!).to.be.below(0.95);
      tf.dispose([ids, labels]);
    });
  }

  for (const tieWordEmbeddings of [false, true]) {
    const kind = tieWordEmbeddings ? 'tied' : 'untied';

    it(`trains alike with the head in the loss, ${kind}`, async () => {
      const before = tf.memory().numTensors;
      const ids = tf.tensor2d([[1, 2, 3, 4, 5, 6, 7, 8]], undefined, 'int32');
      const labels = tf.tensor3d([[[2], [3], [4], [5], [6], [7], [8], [-100]]]);
      const lossesOf = async (headInLoss: boolean, optimizer: tf.Optimizer): Promise<number[]> => {
        const model = createLlama({...tiny, tieWordEmbeddings, headInLoss});
        model.compile({optimizer, loss: sparseCrossEntropy});
        const {history} = await model.fit(ids, labels, {
          epochs: 2,
          verbose: 0,
          validationData: [ids, labels],
        });
        const logits = model.predict(ids) as tf.Tensor;
        expect(logits.shape).to.deep.equal([1, 8, 16]);
        logits.dispose();
        model.dispose();
        optimizer.dispose();
        return [...history['loss']!, ...history['val_loss']!] as number[];
      };
      const expected = await lossesOf(false, tf.train.adam(0.01));
      for (const optimizer of [
        tf.train.adam(0.01),
        new OwLoreOptimizer({learningRate: 0.01, project: false, epsilon: 1e-7}),
      ]) {
        const losses = await lossesOf(true, optimizer);
        losses.forEach((loss, i) => expect(loss / expected[i]!).to.be.closeTo(1, rounding));
      }
      tf.dispose([ids, labels]);
      expect(tf.memory().numTensors).to.equal(before);
    });

    const saved: Array<[string, Partial<LlamaConfig>]> = [
      ['mistral', {}],
      ['qwen2', {attentionBias: true}],
      ['qwen3', {architecture: 'qwen3', layerTypes: [full, sliding]}],
      [
        'gemma3',
        {
          architecture: 'gemma3',
          layerTypes: [sliding, full],
          queryPreAttnScalar: 5,
          ropeLocalBaseFreq: 9,
        },
      ],
    ];
    for (const [architecture, options] of saved) {
      it(`is the same ${architecture} after save and load, ${kind}`, async () => {
        const before = tf.memory().numTensors;
        const ropeScaling = {
          factor: 8,
          lowFreqFactor: 1,
          highFreqFactor: 4,
          originalMaxPositionEmbeddings: 4,
        };
        const model = createLlama({
          ...{...tiny, ...options, numKeyValueHeads: 1, slidingWindow: 3, ropeScaling},
          ...{tieWordEmbeddings, headInLoss: true},
        });
        let artifacts: tf.io.ModelArtifacts;
        await model.save({
          save: (saved) => {
            artifacts = JSON.parse(
              JSON.stringify({...saved, weightData: undefined}),
            ) as typeof saved;
            artifacts.weightData = saved.weightData;
            return Promise.resolve({
              modelArtifactsInfo: {dateSaved: new Date(), modelTopologyType: 'JSON'},
            });
          },
        });
        const loaded = await tfl.loadLayersModel({load: () => Promise.resolve(artifacts)});
        const ids = tf.tensor2d([[3, 1, 4, 1, 5, 9, 2, 6]], undefined, 'int32');
        const [expected, actual] = [model, loaded].map((m) => m.predict(ids) as tf.Tensor);
        expect(await actual!.data()).to.deep.equal(await expected!.data());
        const config = (m: tfl.LayersModel) => m.layers.map((layer) => layer.getConfig());
        expect(config(loaded)).to.deep.equal(config(model));
        tf.dispose([ids, expected!, actual!]);
        model.dispose();
        loaded.dispose();
        expect(tf.memory().numTensors).to.equal(before);
      });
    }
  }

  it('refuses a sequence that is longer than it was made for, or empty', () => {
    const model = createLlama({...tiny, maxPositionEmbeddings: 4});
    const ids = tf.zeros([1, 5], 'int32');
    expect(() => model.predict(ids)).to.throw(
      'model.embed_tokens: sequences must have at most maxPositionEmbeddings = 4 tokens; got 5',
    );
    const none = tf.zeros([1, 0], 'int32');
    expect(() => model.predict(none)).to.throw(
      'model.embed_tokens: token ids must be [batch, seq], at least one sequence of at least one token; got [1, 0]',
    );
    model.dispose();
    tf.dispose([ids, none]);
  });

  it('refuses ids that are none, also of dtypes that tfjs would cast to others', async () => {
    const model = createLlama(tiny);
    const before = tf.memory().numTensors;
    const owner = 'model.embed_tokens: token ids must be';
    // On webgpu their values cannot be looked at.
    const values = readsSynchronously() ? [NaN, 1e30, 0.5, -1, tiny.vocabSize] : [];
    for (const [ids, message] of [
      [tf.zeros([0, 4], 'int32'), 'llama.predict: token ids must be [batch, seq], at least one'],
      ...values.flatMap((id) =>
        (id === -1 ? (['float32', 'int32'] as const) : (['float32'] as const)).map(
          (dtype) => [tf.tensor2d([[1, id]], [1, 2], dtype), `${owner} whole numbers`] as const,
        ),
      ),
    ] as const) {
      expect(() => model.predict(ids), String(ids)).to.throw(message);
      ids.dispose();
    }
    const [float, int] = await Promise.all(
      (['float32', 'int32'] as const).map(async (dtype) => {
        const ids = tf.tensor2d([[1, 2]], [1, 2], dtype);
        const logits = model.predict(ids) as tf.Tensor;
        const data = await logits.data();
        tf.dispose([ids, logits]);
        return data;
      }),
    );
    expect(float).to.deep.equal(int);
    expect(tf.memory().numTensors).to.equal(before);
    model.dispose();
  });
});
