import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {OwLoreOptimizer, variableGrads} from '../../src';
import {openSource} from '../../src/files/open_source';
import {parseSafetensors, serializeSafetensors} from '../../src/files/safetensors';
import {generate, generateBatch, loadLlama, saveLlama, sparseCrossEntropy} from '../../src/llama';
import {OwLoreDecodeBlocks} from '../../src/kernels/llama/kernel_names';
import {applyLora, loadLora, type Lora, type LoraOptions} from '../../src/lora';
import {readAdapters} from '../../src/lora/adapter_files';
import {mergeAdapters} from '../../src/lora/load_lora';
import {startMemoryMeter} from '../../src/memory/meter';
import {sourceOf} from '../../src/model/packed_weight';
import {variableOf} from '../../src/tfjs/models';
import {defaultBackend, describeFastBackends, fastBackend} from '../support/backends';
import {readTensors, toTensor} from '../support/fixtures';
import {rejection} from '../support/rejection';

/*
 * LoRA beside peft: its adapters loaded here, with its outputs and gradients. Then what must hold of any model: unchanged at first,
 * the same outputs merged (the obvious way: W + s·A·B), W back to the last bit, dropout that is reproducible and the same in a
 * recomputed layer, files there and back, errors before anything was changed, and no tensor left.
 */

const fixture = (path: string): string =>
  fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));

/** The plain model of `fixtures/lora`. */
function plainModel(): tfl.LayersModel {
  const base = readTensors('lora/plain');
  const model = tfl.sequential({
    layers: [
      tfl.layers.embedding({name: 'embedding', inputDim: 11, outputDim: 6, inputLength: 3}),
      tfl.layers.dense({name: 'fc', units: 5, activation: 'relu'}),
      tfl.layers.dense({name: 'head', units: 3}),
    ],
  });
  const names = ['embedding.weight', 'fc.weight', 'fc.bias', 'head.weight', 'head.bias'];
  tf.tidy(() => {
    const weights = names.map((name) => {
      const stored = toTensor(base.get(`base.${name}`)!);
      return stored.rank === 2 && !name.startsWith('embedding') ? tf.transpose(stored) : stored;
    });
    model.setWeights(weights);
  });
  return model;
}

function expectClose(actual: tf.Tensor, expected: tf.Tensor, max = 1e-5): void {
  expect(actual.shape).to.deep.equal(expected.shape);
  const far = tf.tidy(() => tf.max(tf.abs(tf.sub(actual, expected))).dataSync()[0]!);
  expect(far).to.be.at.most(max);
}

/** Gives A and B values, so that they change something. */
function randomize(lora: Lora): void {
  let seed = 1;
  for (const {a, b} of lora.weights.values()) {
    for (const weight of [a, b]) {
      tf.tidy(() => weight.assign(tf.randomNormal(weight.shape, 0, 0.3, 'float32', seed++)));
    }
  }
}

/** The values of all A and B. */
function valuesOf(lora: Lora): Float32Array[] {
  return [...lora.weights.values()].flatMap(({a, b}) =>
    [a, b].map((weight) => weight.dataSync<'float32'>().slice()),
  );
}

/** Counts how often a kernel runs, until `stop`. */
function countRuns(kernelName: string): {stop(): number} {
  let runs = 0;
  const engine = tf.engine();
  const runKernel = engine.runKernel.bind(engine);
  engine.runKernel = (name, ...args) => {
    if (name === kernelName) runs++;
    return runKernel<never>(name, ...args);
  };
  return {
    stop() {
      Reflect.deleteProperty(engine, 'runKernel');
      return runs;
    },
  };
}

describeFastBackends('LoRA beside peft', (backend) => {
  if (backend === 'webgpu' || backend === 'webgl') return;

  for (const [name, checkpoint, adapter] of [
    ['llama2', 'llama2', 'llama_train/llama2_lora_adapter_end'],
    ['smollm2', 'smollm2', 'llama_train/smollm2_lora_adapter_end'],
    ['rslora', 'llama2', 'lora/rslora_adapter'],
  ] as const) {
    it(`an adapter of peft, loaded: the logits of ${name}`, async () => {
      const before = tf.memory().numTensors;
      const reference = readTensors(`lora/${name}`);
      const {model} = await loadLlama(fixture(`llama/${checkpoint}`));
      const [ids, logits, base] = ['ids', 'logits', 'base'].map((key) =>
        toTensor(reference.get(key)!),
      ) as [tf.Tensor, tf.Tensor, tf.Tensor];
      const lora = await loadLora(model, fixture(adapter));
      const predict = (): tf.Tensor => model.predict(ids) as tf.Tensor;
      const adapted = predict();
      lora.merge();
      const merged = predict();
      lora.remove();
      const removed = predict();
      const files = await readAdapters('test', openSource('test', fixture(adapter)));
      mergeAdapters('test', model, files);
      const forGood = predict();
      expectClose(adapted, logits);
      expectClose(merged, logits);
      expectClose(removed, base);
      expectClose(forGood, logits);
      tf.dispose([ids, logits, base, adapted, merged, removed, forGood]);
      model.dispose();
      expect(tf.memory().numTensors).to.equal(before);
    });
  }

  // all matrices of each block, and one of the last block alone
  for (const [frozenDtype, targets] of [
    ['F32', 'all-linear'],
    ['BF16', 'layers.1.mlp.down_proj'],
  ] as const) {
    it(`text is that of whole passes over the adapted model, and of the merged one: ${targets}, ${frozenDtype}`, async () => {
      const before = tf.memory().numTensors;
      const {model} = await loadLlama(fixture('llama/llama2'), {frozenDtype});
      const prompts = [
        [1, 5, 9, 20, 33, 7],
        [4, 2],
      ];
      const options = {maxNewTokens: 5};
      const texts = async (): Promise<{ids: number[][]; isByKernel: boolean}> => {
        const runs = countRuns(OwLoreDecodeBlocks);
        const alone = await generate(model, prompts[0]!, options);
        const together = await generateBatch(model, prompts, options);
        return {ids: [alone, ...together].map(({ids}) => ids), isByKernel: runs.stop() > 0};
      };
      /** The most probable token after all tokens so far, which are read anew each time. */
      const slowly = (prompt: readonly number[]): number[] => {
        const ids = [...prompt];
        for (let i = 0; i < options.maxNewTokens; i++) {
          const best = tf.tidy(() => {
            const logits = model.predict(tf.tensor2d([ids], undefined, 'int32')) as tf.Tensor;
            return tf.argMax(logits, -1).dataSync().at(-1)!;
          });
          ids.push(best);
        }
        return ids.slice(prompt.length);
      };
      const base = await texts();
      const lora = applyLora(model, {rank: 4, alpha: 16, targets});
      randomize(lora);
      const adapted = await texts();
      const [first, second] = prompts.map(slowly);
      expect(adapted).to.deep.equal({ids: [first, first, second], isByKernel: false});
      expect(adapted.ids).not.to.deep.equal(base.ids);
      lora.merge();
      // as fast as it was
      expect(await texts()).to.deep.equal({...base, ids: adapted.ids});
      lora.remove();
      expect(await texts()).to.deep.equal(base);
      model.dispose();
      expect(tf.memory().numTensors).to.equal(before);
    });
  }

  it('embedding and linear map: outputs and gradients, and the file it reads', async () => {
    const before = tf.memory().numTensors;
    const reference = readTensors('lora/plain');
    const model = plainModel();
    const lora = await loadLora(model, fixture('lora/plain_adapter'));
    expect(lora.modules).to.deep.equal(['embedding', 'fc']);
    const [ids, y] = ['ids', 'y'].map((key) => toTensor(reference.get(key)!)) as [
      tf.Tensor,
      tf.Tensor,
    ];
    const apply = (): tf.Tensor => model.apply(ids, {training: true}) as tf.Tensor;
    const variables = model.trainableWeights.map((weight) => weight.read() as tf.Variable);
    for (const grads of [variableGrads, tf.variableGrads]) {
      const {value, grads: gradients} = grads(() => tf.mean(tf.square(apply())), variables);
      expect(variables).to.have.length(4);
      for (const [module, {a, b}] of lora.weights) {
        const names =
          module === 'embedding'
            ? ['lora_embedding_A', 'lora_embedding_B']
            : ['lora_A.weight', 'lora_B.weight'];
        [a, b].forEach((weight, i) => {
          const theirs = toTensor(reference.get(`grad.${module}.${names[i]}`)!);
          const ours = tf.transpose(gradients[weight.name]!);
          expectClose(ours, theirs);
          tf.dispose([theirs, ours]);
        });
      }
      tf.dispose([value, gradients]);
    }
    const predicted = model.predict(ids) as tf.Tensor;
    expectClose(predicted, y);

    const files = new Map<string, Uint8Array>();
    await lora.save(files, {baseModel: 'some/model'});
    const theirs = readFileSync(fixture('lora/plain_adapter/adapter_model.safetensors'));
    expect(parseSafetensors(files.get('adapter_model.safetensors')!).tensors).to.deep.equal(
      parseSafetensors(theirs).tensors,
    );
    tf.dispose([ids, y, predicted]);
    model.dispose();
    lora.dispose();
    expect(tf.memory().numTensors).to.equal(before);
  });
});

/** A layer with several matrices, one of which it multiplies transposed. */
class TwoMatrices extends tfl.layers.Layer {
  protected first!: tfl.LayerVariable;
  private second!: tfl.LayerVariable;
  static get className(): string {
    return 'TwoMatrices';
  }
  override build(): void {
    const initializer = tfl.initializers.randomNormal({seed: 3});
    this.first = this.addWeight('first', [6, 4], 'float32', initializer);
    this.second = this.addWeight('second', [6, 4], 'float32', initializer);
    this.built = true;
  }
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    const x = [inputs].flat()[0]!;
    return tf.tidy(() => {
      const inner = tf.tanh(tf.matMul(tf.reshape(x, [-1, 6]), this.first.read()));
      const outer = tf.matMul(inner, this.second.read(), false, true);
      return tf.add(x, tf.reshape(outer, x.shape));
    });
  }
}
tf.serialization.registerClass(TwoMatrices);

/** Dense layers of all kinds, an embedding, a wrapper, a nested model and a layer of several matrices. */
function mixedModel(): tfl.LayersModel {
  const kernel = (seed: number) => ({kernelInitializer: tfl.initializers.glorotNormal({seed})});
  const dense = (name: string, seed: number, more: object = {}) =>
    tfl.layers.dense({name, units: 6, ...kernel(seed), ...more});
  const nested = tfl.sequential({
    name: 'nested',
    layers: [dense('inner', 5, {inputShape: [4, 6], activation: 'tanh'})],
  });
  return tfl.sequential({
    layers: [
      tfl.layers.embedding({
        ...{name: 'tokens', inputDim: 9, outputDim: 6, inputLength: 4},
        embeddingsInitializer: tfl.initializers.randomNormal({seed: 8}),
      }),
      dense('relu', 1, {activation: 'relu'}),
      dense('elu', 2, {activation: 'elu', useBias: false}),
      tfl.layers.timeDistributed({name: 'each', layer: dense('wrapped', 3)}),
      nested,
      new TwoMatrices({name: 'two'}),
      tfl.layers.flatten(),
      dense('flat', 4, {activation: 'sigmoid'}),
      dense('head', 6),
    ],
  });
}

/** tfjs leaves the weights of a nested model alone when the model around it is disposed of. */
function disposeMixed(model: tfl.LayersModel): void {
  const nested = model.getLayer('nested');
  model.dispose();
  nested.dispose();
}

const allOfMixed = [
  'relu',
  'elu',
  'each.wrapped',
  'nested.inner',
  'two.first',
  'two.second',
  'flat',
];

describe('applyLora', () => {
  before(() => tf.setBackend(fastBackend));
  let tensors: number;
  beforeEach(() => void (tensors = tf.memory().numTensors));
  afterEach(() => expect(tf.memory().numTensors, 'tensors').to.equal(tensors));

  const ids = (): tf.Tensor => tf.randomUniform([5, 4], 0, 9, 'int32', 7);

  it('computes what it did, then what the merged model computes, in layers of every kind', async () => {
    const model = mixedModel();
    const x = ids();
    const first = model.predict(x) as tf.Tensor;
    const lora = applyLora(model, {rank: 3, alpha: 5, targets: [/./]});
    expect(lora.modules).to.have.members(['tokens', ...allOfMixed, 'head']);
    const unchanged = model.predict(x) as tf.Tensor;
    expectClose(unchanged, first, 1e-6);
    randomize(lora);
    const adapted = model.predict(x) as tf.Tensor;
    const training = model.apply(x, {training: true}) as tf.Tensor;
    const weights = model.weights.filter((weight) => !weight.name.includes('lora_'));
    const exact = weights.map((weight) => weight.read().dataSync().slice());
    lora.merge();
    const merged = model.predict(x) as tf.Tensor;
    expect(model.weights).to.have.length(weights.length);
    lora.unmerge();
    expect(weights.map((weight) => weight.read().dataSync())).to.deep.equal(exact);
    expectClose(adapted, merged);
    expectClose(training, merged);
    const difference = tf.tidy(() => tf.max(tf.abs(tf.sub(adapted, first))).dataSync()[0]!);
    expect(difference).to.be.above(0.01);
    tf.dispose([x, first, unchanged, adapted, training, merged]);
    lora.remove();
    lora.remove();
    expect(model.trainableWeights).to.have.length(weights.length);
    disposeMixed(model);
  });

  it("all-linear leaves out the embedding and the output's layer; names, ends of names and patterns", () => {
    const modulesOf = (targets: LoraOptions['targets']): readonly string[] => {
      const model = mixedModel();
      const lora = applyLora(model, {rank: 2, targets});
      const {modules} = lora;
      disposeMixed(model);
      lora.dispose();
      return modules;
    };
    expect(modulesOf('all-linear')).to.deep.equal(allOfMixed);
    expect(modulesOf(['inner', 'each.wrapped'])).to.deep.equal(['each.wrapped', 'nested.inner']);
    expect(modulesOf('two')).to.deep.equal(['two.first', 'two.second']);
    // whatever the flags: a pattern may match anywhere
    for (const flags of ['', 'g', 'y'])
      expect(modulesOf(new RegExp('elu$', flags)), flags).to.deep.equal(['relu', 'elu']);
  });

  it("presets are the paper's matrices of a LLaMA-style model", async () => {
    const {model} = await loadLlama(fixture('llama/smollm2'));
    const ends = (targets: LoraOptions['targets']): string[] => {
      const lora = applyLora(model, {rank: 2, targets});
      lora.remove();
      return [...new Set(lora.modules.map((module) => module.split('.').at(-1)!))];
    };
    const [qkv, mlp] = [
      ['q_proj', 'k_proj', 'v_proj'],
      ['gate_proj', 'up_proj', 'down_proj'],
    ];
    expect(ends('attention')).to.deep.equal(qkv);
    expect(ends(['attention', 'mlp'])).to.deep.equal([...qkv, ...mlp]);
    expect(ends('all-linear')).to.deep.equal([...qkv, 'o_proj', ...mlp]);
    model.dispose();
  });

  it('A is uniform in ±1/√in and B is 0, by the seed; an embedding has them the other way round', () => {
    const weightsOf = (seed: number): Float32Array[] => {
      const model = tfl.sequential({
        layers: [
          tfl.layers.embedding({name: 'tokens', inputDim: 40, outputDim: 30, inputLength: 2}),
          tfl.layers.dense({name: 'wide', units: 200}),
        ],
      });
      const lora = applyLora(model, {rank: 20, seed, targets: [/./]});
      const values = valuesOf(lora);
      model.dispose();
      lora.dispose();
      return values;
    };
    const [tokensA, tokensB, a, b] = weightsOf(1) as [
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    for (const zeros of [tokensA, b]) expect(zeros.every((value) => value === 0)).to.equal(true);
    const deviation = (values: Float32Array): number =>
      Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
    const bound = 1 / Math.sqrt(30);
    expect(Math.max(...a.map(Math.abs))).to.be.within(0.97 * bound, bound);
    expect(deviation(a)).to.be.closeTo(bound / Math.sqrt(3), 0.06 * bound);
    expect(deviation(tokensB)).to.be.closeTo(1, 0.1);
    expect(weightsOf(1)).to.deep.equal([tokensA, tokensB, a, b]);
    expect(weightsOf(2)[2]).not.to.deep.equal(a);
  });

  it('only A and B train, by any optimizer, and every weight is as trainable as before afterwards', async () => {
    const model = mixedModel();
    // as its first call would do, which sets all flags
    (model as tfl.Sequential).build();
    model.getLayer('relu').trainable = false;
    const trainable = model.weights.map(({name, trainable}) => [name, trainable]);
    const lora = applyLora(model, {rank: 2});
    expect(model.trainableWeights).to.have.length(2 * lora.modules.length);
    const frozen = model.nonTrainableWeights.map((weight) => weight.read().dataSync().slice());
    const optimizer = tf.train.adam(0.05);
    model.compile({optimizer, loss: 'meanSquaredError'});
    const [x, y] = [ids(), tf.ones([5, 6])];
    const {history} = await model.fit(x, y, {epochs: 8, verbose: 0});
    expect(history.loss!.at(-1)).to.be.below(0.8 * (history.loss![0] as number));
    expect(model.nonTrainableWeights.map((weight) => weight.read().dataSync())).to.deep.equal(
      frozen,
    );
    for (const {b} of lora.weights.values()) {
      expect(b.dataSync().some((value) => value !== 0)).to.equal(true);
    }
    lora.remove();
    expect(model.weights.map(({name, trainable}) => [name, trainable])).to.deep.equal(trainable);
    tf.dispose([x, y]);
    optimizer.dispose();
    disposeMixed(model);
  });

  it('makes nothing of the size of a matrix, neither A B nor a gradient', async function () {
    // other backends copy matrices that they transpose
    if (defaultBackend !== 'cpu') this.skip();
    const backend = tf.getBackend();
    await tf.setBackend('cpu');
    let max = 0;
    // before the model is there, so that views of its weights are known as such
    const meter = startMemoryMeter({onAllocate: (_, bytes) => (max = Math.max(max, bytes))});
    const model = tfl.sequential({
      layers: [
        tfl.layers.dense({name: 'first', units: 90, inputShape: [90], activation: 'relu'}),
        tfl.layers.dense({name: 'second', units: 90}),
      ],
    });
    const lora = applyLora(model, {rank: 2, dropout: 0.1, targets: [/./]});
    const [x, y] = [tf.ones([3, 90]), tf.zeros([3, 90])];
    for (const optimizer of [tf.train.adam(0.01), new OwLoreOptimizer({project: false})]) {
      model.compile({optimizer, loss: 'meanSquaredError'});
      max = 0;
      for (let i = 0; i < 2; i++) await model.trainOnBatch(x, y);
      // x, A, B and what is as small
      expect(max).to.be.within(4 * 2 * 90, 4 * 3 * 90);
      optimizer.dispose();
    }
    meter.stop();
    for (const each of [x, y, model, lora]) each.dispose();
    await tf.setBackend(backend);
  });

  describe('dropout', () => {
    /** Losses of a short training of a LLaMA-style model. */
    async function losses(
      gradientCheckpointing: 'auto' | 'none',
      options: LoraOptions,
    ): Promise<number[]> {
      const {model} = await loadLlama(fixture('llama/smollm2'));
      const lora = applyLora(model, {rank: 2, targets: ['q_proj', 'mlp'], ...options});
      const optimizer = new OwLoreOptimizer({
        learningRate: 0.01,
        project: false,
        gradientCheckpointing,
      });
      model.compile({optimizer, loss: sparseCrossEntropy});
      // so much that attention is recomputed by itself
      const x = tf.randomUniform([8, 24], 3, 90, 'int32', 5);
      const y = tf.expandDims(x, 2);
      const losses: number[] = [];
      for (let i = 0; i < 2; i++) losses.push((await model.trainOnBatch(x, y)) as number);
      expect(lora.dropoutMasks).to.equal(options.dropout ? 2 * lora.modules.length : 0);
      for (const each of [x, y, optimizer, model, lora]) each.dispose();
      return losses;
    }

    it('is drawn by the seed, in training alone, and is the same where a layer is computed again', async () => {
      const options = {dropout: 0.4, seed: 5};
      const kept = await losses('none', options);
      const again = await losses('auto', options);
      kept.forEach((loss, i) => expect(again[i]).to.be.closeTo(loss, 1e-6));
      const other = await losses('none', {dropout: 0.4, seed: 6});
      const without = await losses('none', {seed: 5});
      // B is 0 in the first step
      expect(other[1]).not.to.be.closeTo(kept[1]!, 1e-6);
      expect(without[1]).not.to.be.closeTo(kept[1]!, 1e-6);
    });

    it('keeps the mean, and 0 is an input in so many cases', () => {
      const model = tfl.sequential({layers: [tfl.layers.dense({units: 1, inputShape: [1]})]});
      const lora = applyLora(model, {rank: 1, alpha: 1, dropout: 0.3, targets: [/./]});
      tf.tidy(() => model.setWeights(model.getWeights().map((weight) => tf.onesLike(weight))));
      const x = tf.ones([4000, 1]);
      const y = tf.tidy(() => (model.apply(x, {training: true}) as tf.Tensor).dataSync().slice());
      // W and bias are 1, and so are A and B
      const zeros = y.filter((value) => Math.abs(value - 2) < 1e-6).length / 4000;
      expect(zeros).to.be.closeTo(0.3, 0.03);
      expect(y.every((v) => Math.abs(v - 2) < 1e-5 || Math.abs(v - 2 - 1 / 0.7) < 1e-5)).to.equal(
        true,
      );
      const plain = tf.tidy(() => (model.predict(x) as tf.Tensor).dataSync()[0]);
      expect(plain).to.be.closeTo(3, 1e-6);
      x.dispose();
      model.dispose();
      lora.dispose();
    });
  });

  it('packed weights stay packed, and are packed again after a merge, to the last bit', async () => {
    const {model} = await loadLlama(fixture('llama/smollm2'), {frozenDtype: 'BF16'});
    const lora = applyLora(model, {rank: 2});
    const packed = model.weights.filter((weight) => sourceOf(weight).dtype === 'int32');
    expect(packed.length).to.be.at.least(lora.modules.length);
    const words = packed.map((weight) => sourceOf(weight).dataSync().slice());
    const optimizer = tf.train.adam(0.01);
    model.compile({optimizer, loss: sparseCrossEntropy});
    const x = tf.randomUniform([2, 8], 3, 90, 'int32', 5);
    const y = tf.expandDims(x, 2);
    for (let i = 0; i < 3; i++) await model.trainOnBatch(x, y);
    const adapted = model.predict(x) as tf.Tensor;
    lora.merge();
    const merged = model.predict(x) as tf.Tensor;
    expectClose(adapted, merged);
    lora.unmerge();
    expect(packed.map((weight) => sourceOf(weight).dataSync())).to.deep.equal(words);
    tf.dispose([x, y, adapted, merged]);
    optimizer.dispose();
    model.dispose();
    lora.dispose();
  });

  it('a merge for which there is no memory leaves everything as it was', async () => {
    const model = plainModel();
    const lora = applyLora(model, {rank: 2, targets: ['embedding', 'fc', 'head']});
    randomize(lora);
    const x = tf.tensor2d([[1, 2, 3]], [1, 3], 'int32');
    const adapted = model.predict(x) as tf.Tensor;
    const weights = model.weights.map((weight) => weight.read().dataSync().slice());
    const before = tf.memory().numTensors;
    const [head] = model
      .getLayer('head')
      .weights.map(variableOf)
      .filter(({shape}) => `${shape}` === '5,3');
    for (const merge of [
      () => Promise.resolve().then(() => lora.merge()),
      () => model.save(tf.io.withSaveHandler(() => Promise.reject(new Error('not called')))),
    ]) {
      head!.assign = () => {
        throw new Error('out of memory');
      };
      const {message} = await rejection(merge());
      Reflect.deleteProperty(head!, 'assign');
      expect(message).to.equal('out of memory');
      expect(lora.isMerged).to.equal(false);
      expect(tf.memory().numTensors).to.equal(before);
      expect(model.weights.map((weight) => weight.read().dataSync())).to.deep.equal(weights);
    }
    lora.merge();
    const merged = model.predict(x) as tf.Tensor;
    expectClose(merged, adapted);
    tf.dispose([x, adapted, merged]);
    lora.dispose();
    model.dispose();
  });

  it('slopes of a PReLU are no matrix', () => {
    const model = tfl.sequential({
      layers: [
        tfl.layers.embedding({inputDim: 11, outputDim: 6, inputLength: 4}),
        tfl.layers.dense({units: 6, name: 'dense'}),
        tfl.layers.prelu(),
        tfl.layers.layerNormalization({axis: [1, 2]}),
        tfl.layers.flatten(),
        tfl.layers.dense({units: 9}),
      ],
    });
    const lora = applyLora(model, {rank: 2});
    expect(lora.modules).to.deep.equal(['dense']);
    tf.tidy(() => void model.predict(tf.zeros([2, 4], 'int32')));
    lora.dispose();
    model.dispose();
  });

  it('saves: the merged model by model.save and, once merged, by saveLlama; adapters for themselves', async () => {
    const model = mixedModel();
    const lora = applyLora(model, {rank: 3, targets: [/./]});
    randomize(lora);
    const x = ids();
    const adapted = model.predict(x) as tf.Tensor;
    let artifacts!: tf.io.ModelArtifacts;
    await model.save(
      tf.io.withSaveHandler(async (given) => {
        artifacts = given;
        return {modelArtifactsInfo: {dateSaved: new Date(), modelTopologyType: 'JSON'}};
      }),
    );
    expect(lora.isMerged).to.equal(false);
    const full = tf.io.withSaveHandler(() => Promise.reject(new Error('the disk is full')));
    expect((await rejection(model.save(full))).message).to.equal('the disk is full');
    expect(lora.isMerged).to.equal(false);
    const loaded = await tfl.loadLayersModel(tf.io.fromMemory(artifacts));
    const other = loaded.predict(x) as tf.Tensor;
    expectClose(other, adapted);

    // the state of an optimizer would be that of A and B
    await rejection(model.save(full, {includeOptimizer: true})).then(({message}) =>
      expect(message).to.match(/^Lora: model.save writes the merged model, without the state/),
    );
    const folder = mkdtempSync(join(tmpdir(), 'owlore-lora-'));
    try {
      await lora.save(folder);
      const fresh = mixedModel();
      const again = applyLora(fresh, {rank: 3, targets: [/./]});
      await again.load(folder);
      const repeated = fresh.predict(x) as tf.Tensor;
      expectClose(repeated, adapted, 1e-6);
      repeated.dispose();
      disposeMixed(fresh);
      again.dispose();
    } finally {
      rmSync(folder, {recursive: true});
    }
    tf.dispose([x, adapted, other]);
    for (const each of [model, loaded]) disposeMixed(each);
    lora.dispose();

    const {model: llama} = await loadLlama(fixture('llama/smollm2'));
    const llamaLora = applyLora(llama, {rank: 2});
    const error = await rejection(saveLlama(llama, new Map()));
    expect(error.message).to.match(/lora_A.*merge\(\)/);
    llamaLora.remove({keepMerged: true});
    const files = new Map<string, Uint8Array>();
    await saveLlama(llama, files);
    expect([...files.keys()]).to.include('model.safetensors');
    llama.dispose();
  });

  it("target_modules are the ends of peft's names where they mean the same, and else the names", async () => {
    const {model} = await loadLlama(fixture('llama/smollm2'));
    const named = async (targets: LoraOptions['targets']): Promise<unknown> => {
      const lora = applyLora(model, {rank: 2, targets});
      const files = new Map<string, Uint8Array>();
      await lora.save(files);
      lora.merge();
      // also with A and B beside each matrix, or in it
      const again = new Map<string, Uint8Array>();
      await lora.save(again);
      lora.remove();
      const [one, other] = [files, again].map((each) => {
        const text = new TextDecoder().decode(each.get('adapter_config.json'));
        return (JSON.parse(text) as {target_modules: unknown}).target_modules;
      });
      expect(one).to.deep.equal(other);
      return one;
    };
    const seven = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];
    expect(await named('all-linear')).to.deep.equal(seven);
    expect(await named('attention')).to.deep.equal(seven.slice(0, 3));
    const last = 'model.layers.1.mlp.down_proj';
    expect(await named(['v_proj', last])).to.deep.equal(['v_proj', last]);
    model.dispose();
  });

  it('what is saved is of one moment, also if a step is made while it is written', async () => {
    const model = mixedModel();
    const lora = applyLora(model, {rank: 2});
    const setAll = (value: number): void => {
      for (const {a, b} of lora.weights.values())
        for (const each of [a, b]) tf.tidy(() => each.assign(tf.fill(each.shape, value)));
    };
    setAll(1);
    const files = new Map<string, Uint8Array>();
    const before = tf.memory().numTensors;
    const saving = lora.save(files);
    setAll(2);
    await saving;
    expect(tf.memory().numTensors).to.equal(before);
    const {tensors} = parseSafetensors(files.get('adapter_model.safetensors')!);
    for (const {values} of tensors.values()) expect(new Set(values)).to.deep.equal(new Set([1]));
    lora.dispose();
    disposeMixed(model);
  });

  it('a model that gets adapters while those of a file are read is refused the latter', async () => {
    const files = new Map<string, Uint8Array>();
    const {model} = await loadLlama(fixture('llama/smollm2'));
    const first = applyLora(model, {rank: 2});
    await first.save(files);
    first.remove();
    const loading = loadLora(model, files);
    const second = applyLora(model, {rank: 2});
    expect((await rejection(loading)).message).to.match(
      /^loadLora: the model has adapters already/,
    );
    second.remove();
    tf.tidy(() => void model.predict(tf.zeros([1, 4], 'int32')));
    model.dispose();
  });

  it('two matrices of one name are refused, as a file would have one of them', () => {
    const inner = tfl.sequential({name: 'enc', layers: [tfl.layers.dense({units: 4, inputShape: [4], name: 'd'})]}); // prettier-ignore
    const model = tfl.sequential({layers: [inner, tfl.layers.dense({units: 4, name: 'enc.d'})]});
    expect(() => applyLora(model, {rank: 2, targets: [/./]})).to.throw(
      "applyLora: two matrices of the model are called 'enc.d'",
    );
    model.dispose();
  });

  describe('bad input', () => {
    const wrong: Array<[LoraOptions, RegExp]> = [
      [{rank: 0}, /rank must be an integer >= 1; got 0/],
      [{rank: 5, targets: 'two'}, /rank must be at most .* got 5, and 'two.first' is \[6, 4\]/],
      [{alpha: 0}, /alpha must be a number > 0 and <= 1e\+38; got 0/],
      [{alpha: 1e39}, /alpha must be a number .* 1e\+38.*; got 1e\+39/],
      [{dropout: 1}, /dropout must be a number >= 0 and < 1; got 1/],
      [{seed: -1}, /seed must be an integer/],
      [{r: 4} as LoraOptions, /unknown option 'r'; did you mean 'rank'/],
      [
        {targets: ['fc', 'relu']},
        /targets has 'fc', which matches no matrix.* Matrices: tokens, relu/,
      ],
      [{targets: 'attention'}, /targets has 'attention', which matches no matrix/],
      [{targets: []}, /targets must be names of matrices.* got \[\]/],
      [{targets: [3] as never}, /targets must be names of matrices.* got \[3\]/],
    ];
    it('is refused before anything was changed', async () => {
      const model = mixedModel();
      (model as tfl.Sequential).build();
      const before = model.weights.map(({name, trainable}) => [name, trainable]);
      for (const [options, message] of wrong) {
        expect(() => applyLora(model, options), JSON.stringify(options)).to.throw(message);
      }
      expect(() => applyLora({} as tfl.LayersModel)).to.throw(/model must be a tf.LayersModel/);
      expect(model.weights.map(({name, trainable}) => [name, trainable])).to.deep.equal(before);
      expect(Object.hasOwn(model, 'save')).to.equal(false);
      const lora = applyLora(model, {rank: 2});
      expect(() => applyLora(model)).to.throw(/has adapters already; remove\(\) those first/);
      expect(() => lora.unmerge()).to.throw(/not merged/);
      lora.merge();
      expect(() => lora.merge()).to.throw(/merged already; unmerge\(\) first/);
      const run = (training: boolean) => () =>
        tf.tidy(() => void model.apply(tf.zeros([1, 4]), {training}));
      run(false)();
      expect(run(true)).to.throw(/adapters are merged.*; unmerge\(\) before training/);
      for (const [options, message] of [
        [{keepMerge: true}, /Lora.remove: unknown option 'keepMerge'; did you mean 'keepMerged'/],
        [true, /Lora.remove: options must be a plain object; got true/],
        [{keepMerged: 'yes'}, /keepMerged must be true or false; got 'yes'/],
      ] as const) {
        expect(() => lora.remove(options as object)).to.throw(message);
        expect(lora.isMerged).to.equal(true);
      }
      lora.remove();
      expect(lora.isMerged).to.equal(false);
      expect(() => lora.merge()).to.throw(/were removed; call applyLora again/);
      expect((await rejection(lora.save(new Map()))).message).to.match(/were removed/);
      expect(Object.hasOwn(model.getLayer('relu'), 'call')).to.equal(false);
      disposeMixed(model);
    });

    it('recurrent cells cannot be adapted, and the only matrix is not one that is adapted by default', () => {
      const model = tfl.sequential({
        layers: [
          tfl.layers.simpleRNN({
            units: 2,
            inputShape: [3, 2],
            recurrentInitializer: 'glorotNormal',
          }),
          tfl.layers.dense({name: 'output', units: 2}),
        ],
      });
      expect(() => applyLora(model)).to.throw(
        /'all-linear', which matches no matrix .*recurrent cells.*leaves out what gives the model's output\). Matrices: output$/,
      );
      model.dispose();
    });

    it('embedding and head of a LLaMA-style model cannot be adapted', async () => {
      const {model} = await loadLlama(fixture('llama/llama2'));
      for (const targets of ['lm_head', 'embed_tokens']) {
        expect(() => applyLora(model, {targets})).to.throw(/embedding and head of a LLaMA-style/);
      }
      model.dispose();
    });

    it('a matrix that a layer uses in another way, at its first call', async () => {
      class Squares extends TwoMatrices {
        static override get className(): string {
          return 'Squares';
        }
        override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
          const squares = this.getWeights().map((weight) => tf.square(weight));
          return tf.matMul([inputs].flat()[0]!, squares[0]!);
        }
      }
      /** Takes no gradient of what it multiplies with, and so of no adapter. */
      class OwnGradient extends TwoMatrices {
        static override get className(): string {
          return 'OwnGradient';
        }
        override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
          const matrix = this.first.read();
          const product = tf.customGrad((x) => ({
            value: tf.matMul(x as tf.Tensor, matrix),
            gradFunc: (dy) => tf.matMul(dy, matrix, false, true),
          }));
          return product([inputs].flat()[0]!);
        }
      }
      const x = tf.ones([2, 6]);
      for (const [Kind, kernel] of [
        [Squares, 'Square'],
        [OwnGradient, 'BatchMatMul'],
      ] as const) {
        const model = tfl.sequential({
          layers: [tfl.layers.dense({units: 6, inputShape: [6]}), new Kind({name: 'other'})],
        });
        const applied = applyLora(model, {rank: 2, targets: 'first'});
        expect(() => model.predict(x)).to.throw(
          `applyLora: layer 'other' uses the matrix 'other.first' in ${kernel}, which is neither a product`,
        );
        const files = new Map<string, Uint8Array>();
        await applied.save(files);
        applied.remove();
        const loaded = await loadLora(model, files);
        expect(() => model.predict(x)).to.throw(/^loadLora: layer 'other' uses the matrix/);
        loaded.remove();
        model.dispose();
      }
      x.dispose();
    });

    it('files of another kind, model, shape or rank, or damaged: nothing is changed', async () => {
      const files = (): Map<string, Uint8Array> =>
        new Map(
          ['adapter_config.json', 'adapter_model.safetensors'].map((name) => [
            name,
            new Uint8Array(readFileSync(fixture(`lora/plain_adapter/${name}`))),
          ]),
        );
      const withConfig = (change: object): Map<string, Uint8Array> => {
        const all = files();
        const config = JSON.parse(
          new TextDecoder().decode(all.get('adapter_config.json')),
        ) as object;
        const text = JSON.stringify({...config, ...change});
        return all.set('adapter_config.json', new TextEncoder().encode(text));
      };
      const without = files();
      without.delete('adapter_model.safetensors');
      const damaged = files();
      damaged.set(
        ...([
          'adapter_model.safetensors',
          damaged.get('adapter_model.safetensors')!.slice(0, -8),
        ] as const),
      );
      // as peft writes it of a target lm_head
      const head = files();
      const tensors = new Map([
        [
          'base_model.model.lm_head.base_layer.weight',
          {shape: [1, 1], values: new Float32Array(1)},
        ],
      ]);
      head.set('adapter_model.safetensors', serializeSafetensors(tensors));
      const model = plainModel();
      for (const [source, message] of [
        [head, /lm_head\.base_layer\.weight", which is no matrix of LoRA; .* head of a language/],
        [withConfig({peft_type: 'IA3'}), /peft_type: "IA3", which this library does not compute/],
        [withConfig({use_dora: true}), /use_dora: true/],
        [withConfig({bias: 'all'}), /bias: "all"/],
        // seen in peft 0.21.2: none of these computes what A and B say of W
        [withConfig({alora_invocation_tokens: [3, 4]}), /alora_invocation_tokens: \[3,4\], which/],
        [withConfig({kasa_config: {beta: 0.1}}), /kasa_config: \{"beta":0.1\}, which this library/],
        [withConfig({arrow_config: {top_k: 3}}), /arrow_config: \{"top_k":3\}, which this library/],
        [
          withConfig({init_lora_weights: 'pissa_niter_4'}),
          /init_lora_weights: .* changes the model/,
        ],
        [withConfig({init_lora_weights: 'olora'}), /init_lora_weights: "olora", which changes/],
        [withConfig({rank_pattern: {fc: 3}}), /rank_pattern: .* one rank and alpha/],
        [withConfig({lora_alpha: 1e308}), /alpha must be .*; got 1e\+308/],
        [withConfig({r: 'two'}), /r: "two", which is no number/],
        [
          withConfig({r: 3}),
          /has A \[11, 2\] and B \[2, 6\] of "embedding", and adapter_config.json r: 3$/,
        ],
        [withConfig({use_rslora: 'yes'}), /use_rslora: "yes", which this library does not compute/],
        [withConfig({r: 0}), /^loadLora: adapter_config.json: rank must be an integer >= 1; got 0/],
        [without, /has no adapter_model.safetensors; of an adapter_model.bin, a pickle, make one/],
        [damaged, /^loadLora: adapter_model.safetensors: .*(ends|beyond|bytes)/],
        [new Map([['model.safetensors', new Uint8Array(4)]]), /has no adapter_config.json/],
      ] as const) {
        expect((await rejection(loadLora(model, source))).message).to.match(message);
        expect(model.trainableWeights).to.have.length(5);
      }
      const llama = await loadLlama(fixture('llama/smollm2'));
      const other = await rejection(loadLora(llama.model, files()));
      expect(other.message).to.match(
        /of another model: "embedding" is no matrix of this one that can be adapted. Matrices: model/,
      );
      const lora = applyLora(model, {rank: 2, alpha: 6, targets: ['fc']});
      expect((await rejection(lora.load(files()))).message).to.match(
        /has an adapter for 'embedding'/,
      );
      const another = plainModel();
      const own = applyLora(another, {rank: 2, alpha: 6, targets: ['embedding', 'fc']});
      const loading = own.load(files());
      own.merge();
      expect((await rejection(loading)).message).to.match(/the adapters are merged; unmerge/);
      another.dispose();
      own.dispose();
      lora.remove();
      const wide = applyLora(model, {rank: 3, targets: ['embedding', 'fc']});
      expect((await rejection(wide.load(files()))).message).to.match(
        /rank 2 and alpha 6, and these adapters 3 and 8/,
      );
      wide.remove();
      const scaled = applyLora(model, {rank: 2, alpha: 5, targets: ['embedding', 'fc']});
      const before = valuesOf(scaled);
      expect((await rejection(scaled.load(files()))).message).to.match(
        /rank 2 and alpha 6, and these adapters 2 and 5; nothing was changed/,
      );
      expect(valuesOf(scaled)).to.deep.equal(before);
      for (const each of [scaled, model, llama.model]) each.dispose();
    });
  });
});
