import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  estimateMemory,
  type EstimateOptions,
  type MemoryEstimate,
} from '../../../src/memory/estimate';
import {largestTensor} from '../../../src/memory/estimate/estimate';
import {trainEmbedding} from '../../../src/memory/estimate/embedding_mode';
import {findBlocks, LayerSamplingCallback, OwLoreOptimizer, paperMethod} from '../../../src/index';
import '../../../src/lora';
import type {LoraTargets} from '../../../src/lora';
import {createLlama, loadLlama, saveLlama, sparseCrossEntropy} from '../../../src/llama';
import {startMemoryMeter} from '../../../src/memory/meter';
import {paperMethodNames, paperMethods, trainsRest, type MethodParts} from '../../../src/methods';
import {describeFastBackends, itAtLength} from '../../support/backends';
import {modelZoo} from '../../support/model_zoo';
import {captureWarnings} from '../../support/warnings';
import {forgetLines} from '../../../src/common/say_once';

const usualBlocks = 4;
const usual = {batchSize: 2, maxLength: 32};

const config = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 32,
  intermediate_size: 96,
  num_hidden_layers: usualBlocks,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 200,
  max_position_embeddings: 64,
  tie_word_embeddings: false,
};

/** A model that differs from the usual one. */
interface Model {
  isTied?: boolean;
  headInLoss?: boolean;
  architecture?: 'llama' | 'qwen3';
  intermediateSize?: number;
  hiddenSize?: number;
  vocabSize?: number;
  blocks?: number;
}

describeFastBackends('estimateMemory', function (backend) {
  if (backend === 'webgl') return;
  // a driver in software compiles the shaders
  if (backend === 'webgpu') this.timeout(180_000);
  const estimated: EstimateOptions = {backend};

  // these take ten times as long
  const isSlow = backend === 'cpu' || backend === 'webgpu';
  const methods = isSlow ? (['owlore', 'lora', 'full'] as const) : paperMethodNames;
  for (const method of methods) {
    it(`is the measured peak: ${method}`, () =>
      expectPeak({method, gradientCheckpointing: 'auto'}));
  }

  for (const method of ['owlore', 'lora', 'full'] as const) {
    if (isSlow && method !== 'owlore') continue;
    it(`… without checkpoints: ${method}`, () =>
      expectPeak({method, gradientCheckpointing: 'none'}));
  }

  it('… where one part takes most: embedding and head, their gradients and their new values', async () => {
    const given = {gradientCheckpointing: 'none', batchSize: 1, maxLength: 4} as const;
    const wide = {hiddenSize: 8, vocabSize: 2000};
    for (const method of ['full', 'owlore'] as const) {
      for (const isTied of [false, true]) await expectPeak({...given, method}, {...wide, isTied});
    }
    await expectPeak({...given, method: 'full'}, {...wide, hiddenSize: 32});
  });

  if (isSlow) return;

  it('… the blocks, where their attention is too small to run again by itself', () =>
    expectPeak(
      {
        ...{method: 'owlore', embedding: 'frozen', gradientCheckpointing: 'auto'},
        ...{batchSize: 8, maxLength: 4},
      },
      {hiddenSize: 8, vocabSize: 50, isTied: true},
    ));

  // attention with norms of queries and keys is made of ops, the MLP is one kernel
  it('… of a Qwen3 model', () =>
    expectPeak(
      {method: 'lisa', gradientCheckpointing: 'none', batchSize: 8},
      {architecture: 'qwen3', intermediateSize: 512},
    ));

  it('… with tied weights', () =>
    expectPeak({method: 'lisa', gradientCheckpointing: 'auto'}, {isTied: true}));

  it('… with a low-rank embedding, tied and not', async () => {
    for (const isTied of [true, false])
      await expectPeak(
        {method: 'owlore', gradientCheckpointing: 'auto', embedding: 'low-rank'},
        {isTied},
      );
  });

  it('… of a model of two blocks, which run once', () =>
    expectPeak({method: 'full', gradientCheckpointing: 'auto', batchSize: 16}, {blocks: 2}));

  it('… with a frozen embedding', () =>
    expectPeak({method: 'owlore', gradientCheckpointing: 'none', embedding: 'frozen'}));

  it('… with frozen weights at 16 bits', () =>
    expectPeak({method: 'lisa', gradientCheckpointing: 'auto', frozenDtype: 'BF16'}));

  it('… with the head as a layer before the loss', () =>
    expectPeak({method: 'lisa', gradientCheckpointing: 'auto'}, {headInLoss: false}));

  it('… of batches whose gradients are added up', async () => {
    const several = {gradientCheckpointing: 'auto', accumulate: 2} as const;
    await expectPeak({...several, method: 'owlore'});
    await expectPeak({...several, method: 'full'});
    await expectPeak({...several, method: 'galore'});
  });

  it('… of other updates', async () => {
    const galore = {method: 'galore', gradientCheckpointing: 'auto'} as const;
    await expectPeak({...galore, update: 'fira', embedding: 'low-rank'});
    await expectPeak({...galore, update: 'apollo', accumulate: 2});
  });

  it("… of LoRA's targets and dropout", async () => {
    const loraGiven = {method: 'lora', gradientCheckpointing: 'none'} as const;
    await expectPeak({...loraGiven, targets: ['q_proj', 'mlp']});
    await expectPeak({...loraGiven, targets: 'attention', dropout: 0.1});
  });

  it('… where few labels are counted', () =>
    expectPeak({
      ...{method: 'owlore', gradientCheckpointing: 'auto', embedding: 'frozen'},
      ...{countedLabels: 0.25, batchSize: 8},
    }));

  async function expectPeak(
    options: EstimateOptions & Pick<Required<EstimateOptions>, 'method' | 'gradientCheckpointing'>,
    {isTied = false, headInLoss = true, architecture = 'llama', ...sizes}: Model = {},
  ): Promise<void> {
    const {intermediateSize = 96, blocks = usualBlocks, hiddenSize = 32, vocabSize = 200} = sizes;
    const {
      method,
      gradientCheckpointing,
      accumulate = 1,
      embedding = 'full',
      frozenDtype,
    } = options;
    const {update, basis, targets, dropout, countedLabels = 1} = options;
    const {batchSize, maxLength} = {...usual, ...options};
    const {sampling, lora: isLora = false}: MethodParts = paperMethods[method];
    const rank = isLora ? 4 : hiddenSize / 4;
    const ids = tf.randomUniform([2 * accumulate * batchSize, maxLength], 0, vocabSize, 'int32', 7);
    const labels = tf.tidy(() => {
      const isCounted = tf.less(tf.range(0, maxLength), countedLabels * maxLength);
      return tf.expandDims(tf.where(isCounted, ids, tf.scalar(-100, 'int32')), 2);
    });
    let largest = 0;
    const meter = startMemoryMeter({
      onAllocate: (_, bytes) => void (largest = Math.max(largest, bytes)),
    });
    const created = createLlama({
      ...{vocabSize, hiddenSize, intermediateSize, numHiddenLayers: blocks},
      ...{numAttentionHeads: 4, numKeyValueHeads: 2, maxPositionEmbeddings: 64},
      ...{headInLoss, tieWordEmbeddings: isTied, architecture},
    });
    const model = frozenDtype ? await packed(created) : created;
    const {optimizer, callback, lora} = paperMethod(method, model, {
      ...{rank, gradientCheckpointing, accumulate, update, basis},
      ...(isLora && {targets, dropout}),
      ...(trainsRest(method) && trainEmbedding(embedding, model, method)),
      // the same blocks in each period, of which the first one has the most before it
      ...(sampling && {sampler: 'exact', probabilities: on(blocks, method === 'badam' ? 1 : 2)}),
    });
    model.compile({optimizer, loss: sparseCrossEntropy});
    meter.reset();
    await model.fit(ids, labels, {
      ...{batchSize, epochs: 1, verbose: 0, shuffle: false},
      callbacks: callback ? [callback] : [],
    });
    const [peak, state, norms] = [meter.peak(), optimizer.stateBytes, 4 * model.weights.length];
    const gamma = sampling ? {gamma: method === 'badam' ? 1 : 2} : {};
    const given = {...usual, ...options, ...gamma, rank, ...estimated};
    const estimate = estimateMemory(model, given);
    if (architecture === 'llama') {
      const modelConfig = {
        ...config,
        num_hidden_layers: blocks,
        hidden_size: hiddenSize,
        vocab_size: vocabSize,
        tie_word_embeddings: isTied,
      };
      const byConfig = estimateMemory(modelConfig, {...given, headInLoss});
      expect(byConfig, 'of the config').to.deep.equal(estimate);
    }
    // a model is packed when it is there
    if (!frozenDtype) expect(largestTensor(model, given), 'largest').to.equal(largest);
    optimizer.dispose();
    lora?.remove();
    model.dispose();
    tf.dispose([ids, labels]);
    meter.stop();
    if (accumulate === 1) expect(estimate.state, 'state').to.be.closeTo(state, 8);
    const {total} = estimate;
    // `fit` numbers the rows of a batch, and keeps the losses of an epoch; of a step on webgpu the host may have read the norms of
    // gradients before the next one begins
    const read = backend === 'webgpu' ? norms : 0;
    expect(total, JSON.stringify({peak, ...estimate})).to.be.within(peak - 256, peak + read);
  }

  /** The same model as from a file, with its matrices at 16 bits. */
  async function packed(created: tfl.LayersModel): Promise<tfl.LayersModel> {
    const files = new Map<string, Uint8Array>();
    await saveLlama(created, files);
    created.dispose();
    const {model} = await loadLlama(files, {frozenDtype: 'BF16', headInLoss: true});
    return model;
  }

  /** Probabilities that turn on `count` of the blocks. */
  function on(blocks: number, count: number): number[] {
    return Array.from({length: blocks}, (_, i) => (i % (blocks / count) === 0 ? 1 : 0));
  }
});

describeFastBackends('estimateMemory of any model', function (backend) {
  if (backend === 'webgl') return;
  if (backend === 'webgpu') this.timeout(180_000);

  // that of createLlama has another loss here than the estimate knows
  for (const {title, build} of modelZoo.filter(({title}) => title !== 'LLaMA')) {
    for (const [method, gradientCheckpointing] of [
      ['owlore', 'auto'],
      ['full', 'none'],
    ] as const) {
      it(`is the measured peak: ${title}, ${method}, gradientCheckpointing ${gradientCheckpointing}`, async () => {
        const {model, loss, createData} = build();
        const {x, y} = createData(4);
        const maxLength = x.shape[1]!;
        model.dispose();
        const meter = startMemoryMeter();
        const measured = build().model;
        const blocks = findBlocks(measured).map((_, i) => (i === 0 ? 1 : 0));
        const {optimizer, callback} = paperMethod(method, measured, {
          ...{rank: 2, gradientCheckpointing},
          ...(method === 'owlore' && {sampler: 'exact', probabilities: blocks}),
        });
        measured.compile({optimizer, loss});
        meter.reset();
        await measured.fit(x, y, {
          ...{batchSize: 4, epochs: 2, verbose: 0, shuffle: false},
          callbacks: callback ? [callback] : [],
        });
        const peak = meter.peak();
        meter.stop();
        const given = {method, gradientCheckpointing, batchSize: 4, maxLength, backend, rank: 2};
        const {total} = estimateMemory(measured, {
          ...given,
          ...(method === 'owlore' && {gamma: 1}),
        });
        for (const each of [measured, optimizer, x, y]) each.dispose();
        // `fit` numbers the rows of a batch, keeps the losses of an epoch, and casts ids
        expect(total).to.be.within(peak - Math.max(64, 0.01 * peak), peak);
      });
    }
  }
});

describe('estimateMemory', () => {
  it('knows weights and state of any model by its shapes', async () => {
    const {model, x, y} = createTask();
    const meter = startMemoryMeter();
    const optimizer = new OwLoreOptimizer({rank: 2});
    const callback = new LayerSamplingCallback({gamma: 1, interval: 1});
    model.compile({optimizer, loss: 'meanSquaredError'});
    await model.fit(x, y, {epochs: 4, verbose: 0, callbacks: [callback]});
    const {weights, state, total} = estimateMemory(model, {gamma: 1, rank: 2, backend: 'cpu'});
    expect(weights).to.equal(4 * model.countParams());
    expect(state).to.be.closeTo(optimizer.stateBytes, 8);
    expect(total).to.be.greaterThan(weights + state);
    meter.stop();
    optimizer.dispose();
    model.dispose();
    tf.dispose([x, y]);
  });

  for (const [method, options] of [
    ['owlore', {}],
    ['badam', {}],
    ['galore', {}],
    ['full', {}],
    ['lora', {targets: ['words', 'dense1', 'wide']}],
  ] as const) {
    it(`knows weights and state of layers in and outside of blocks: ${method}`, async () => {
      const dense = (name: string, units: number) =>
        tfl.layers.dense({name, units, activation: 'relu'});
      const model = tfl.sequential({
        layers: [
          tfl.layers.embedding({name: 'words', inputDim: 12, outputDim: 8, inputLength: 3}),
          dense('embed_more', 8),
          ...Array.from({length: 3}, (_, i) => dense(`dense${i}`, 8)),
          tfl.layers.batchNormalization(),
          tfl.layers.flatten(),
          tfl.layers.layerNormalization({trainable: false}),
          dense('wide', 10),
        ],
      });
      model.build();
      const whole = 4 * model.countParams();
      const sampling = method === 'owlore' || method === 'badam';
      const {optimizer, callback, lora} = paperMethod(method, model, {
        ...{rank: 2, ...options},
        ...(sampling && {probabilities: [1, 0, 0, 0], sampler: 'bernoulli'}),
      });
      const [x, y] = [tf.zeros([2, 3]), tf.zeros([2, 10])];
      const given = {
        method,
        rank: 2,
        backend: 'cpu',
        ...options,
        ...(sampling && {gamma: 1}),
      } as const;
      model.compile({optimizer, loss: 'meanSquaredError'});
      await model.fit(x, y, {epochs: 1, verbose: 0, callbacks: callback ? [callback] : []});
      const [state, all] = [optimizer.stateBytes, 4 * model.countParams()];
      lora?.remove();
      const estimate = estimateMemory(model, given);
      expect([estimate.state, estimate.weights]).to.deep.equal([state, all]);
      expect(all > whole).to.equal(method === 'lora');
      for (const each of [optimizer, model, x, y]) each.dispose();
    });
  }

  it('estimates a Sequential before it is compiled as afterwards', () => {
    const {model, x, y} = createTask();
    const lora = {method: 'lora', rank: 2, targets: ['dense0']} as const;
    const estimates = (): MemoryEstimate[] => [
      estimateMemory(model, {method: 'owlore', rank: 2, gamma: 1}),
      estimateMemory(model, {method: 'full'}),
      estimateMemory(model, lora),
    ];
    const before = estimates();
    expect(model.optimizer).to.equal(undefined);
    const loss = (labels: tf.Tensor, outputs: tf.Tensor): tf.Tensor =>
      tf.losses.meanSquaredError(labels, outputs);
    model.compile({optimizer: 'sgd', loss});
    expect(before).to.deep.equal(estimates());
    for (const each of [model, x, y]) each.dispose();
  });

  it('estimates a model that has a layer at two lengths', () => {
    const [one, other] = [tfl.input({shape: [4, 8]}), tfl.input({shape: [6, 8]})];
    let outputs = [one, other];
    for (let i = 0; i < 3; i++) {
      const shared = tfl.layers.dense({units: 8, name: `shared${i}`});
      outputs = outputs.map((x) => shared.apply(x) as tfl.SymbolicTensor);
    }
    const model = tfl.model({inputs: [one, other], outputs});
    const options = {batchSize: 2, backend: 'cpu', gamma: 1, rank: 4} as const;
    const {weights, total} = estimateMemory(model, options);
    expect(weights).to.equal(4 * model.countParams());
    // inputs, labels and what five layers put out
    expect(total - weights).to.be.greaterThan(6 * 4 * 2 * 8 * (4 + 6));
    model.dispose();
  });

  it('estimates adapters of some blocks alone', () => {
    const withTargets = (targets: LoraTargets) => estimateMemory(config, {method: 'lora', targets});
    const [one, all] = [withTargets('model.layers.1.mlp.up_proj'), withTargets('up_proj')];
    expect(all.state).to.equal(usualBlocks * one.state);
    expect(all.weights - 4 * 8 * (32 + 96) * (usualBlocks - 1)).to.equal(one.weights);
  });

  it('refuses targets that match nothing', () => {
    const withTargets = (targets: LoraTargets) => () =>
      estimateMemory(config, {method: 'lora', targets});
    expect(withTargets('c_attn')).to.throw(
      "estimateMemory: targets has 'c_attn', which matches no matrix of the model",
    );
    expect(withTargets([])).to.throw('estimateMemory: targets must be names of matrices, ');
    const {model, x, y} = createTask();
    expect(() => estimateMemory(model, {method: 'lora', targets: 'fc'})).to.throw(
      "estimateMemory: targets has 'fc', which matches no matrix of the model",
    );
    expect(() => estimateMemory(model, {method: 'lora', rank: 9})).to.throw(
      "estimateMemory: rank must be at most the dimensions of each matrix; got 9, and 'dense0' is [8, 8]",
    );
    model.dispose();
    tf.dispose([x, y]);
  });

  for (const [options, message] of [
    [{gama: 2}, /unknown option 'gama'; did you mean 'gamma'/],
    [{gamma: 5}, 'estimateMemory: gamma must be a number > 0 and <= 4; got 5'],
    [{method: 'full', gamma: 1}, "gamma has no meaning with method 'full'"],
    [{maxLength: 65}, 'estimateMemory: maxLength must be an integer >= 1 and <= 64; got 65'],
    [{dtype: 'F32'}, "dtype has no meaning with engine 'tfjs', but with 'torch'"],
    [
      {engine: 'torch', frozenDtype: 'BF16'},
      "frozenDtype has no meaning with engine 'torch', but with 'tfjs'",
    ],
    [{update: 'galor'}, "estimateMemory: update must be one of 'galore', 'fira',"],
    [{dropout: 0.1}, "dropout has no meaning with method 'owlore', but with 'lora'"],
    [{countedLabels: 0}, 'estimateMemory: countedLabels must be a number > 0 and <= 1; got 0'],
    [
      {method: 'lora', rank: 17},
      "rank must be at most the dimensions of each matrix; got 17, and 'model.layers.0.self_attn.k_proj' is [32, 16]",
    ],
    [{method: 'lora', embedding: 'frozen'}, "embedding has no meaning with method 'lora', which"],
    [{method: 'badam', embedding: 'full'}, "embedding has no meaning with method 'badam', which"],
    [
      {embedding: 'low-rank', rank: 32},
      "embedding 'low-rank' is not possible at rank 32: a matrix of embedding and head is [200, 32]",
    ],
    [{method: 'full', frozenDtype: 'BF16'}, "frozenDtype 'BF16' has no meaning with method 'full'"],
    [{backend: 'webgl'}, /backend must be one of 'tensorflow', /],
  ] as Array<[object, string | RegExp]>) {
    it(`refuses ${JSON.stringify(options)}`, () => {
      expect(() => estimateMemory(config, options)).to.throw(Error, message);
    });
  }

  it('takes the config of loadLlama and createLlama as well', () => {
    const options = {method: 'lisa', gamma: 1} as const;
    const createLlamaConfig = {
      ...{vocabSize: 200, hiddenSize: 32, intermediateSize: 96, numHiddenLayers: usualBlocks},
      ...{numAttentionHeads: 4, numKeyValueHeads: 2, maxPositionEmbeddings: 64},
    };
    expect(estimateMemory(createLlamaConfig, options)).to.deep.equal(
      estimateMemory(config, options),
    );
    const inLoss = estimateMemory(config, {...options, headInLoss: true});
    expect(inLoss).not.to.deep.equal(estimateMemory(config, options));
    const own = {...createLlamaConfig, headInLoss: true};
    expect(estimateMemory(own, options)).to.deep.equal(inLoss);
    const model = createLlama(createLlamaConfig);
    expect(() => estimateMemory(model, {headInLoss: true})).to.throw(
      'estimateMemory: headInLoss has no meaning with a model, which was made with it or without; leave it out',
    );
    model.dispose();
    expect(() => estimateMemory({vocabSize: 1})).to.throw('hiddenSize');
  });

  it('takes no longer, and no more memory of its own, for numbers that a stranger wrote', () => {
    const few = estimateMemory(config, {accumulate: 5});
    // whose peak is that of two calls, which is measured above
    expect(few).to.deep.equal(estimateMemory(config, {accumulate: 2}));
    expect(estimateMemory(config, {accumulate: 1e15})).to.deep.equal(few);
    for (const key of ['head_dim', 'hidden_size', 'num_attention_heads', 'vocab_size'])
      expect(() => estimateMemory({...config, [key]: 1e9}), key).to.throw(
        /and <= \d+; got 1000000000$/,
      );
    expect(() => estimateMemory(config, {batchSize: 1e9})).to.throw(
      /^estimateMemory: batchSize × maxLength must be a number <= 16777216; got /,
    );
  });

  it('names the key of a config that it cannot read', () => {
    const without = {...config, hidden_size: undefined};
    expect(() => estimateMemory(without)).to.throw('estimateMemory: hidden_size must be');
    expect(() => estimateMemory({...config, num_hidden_layers: 1e9})).to.throw(
      'estimateMemory: num_hidden_layers must be an integer >= 1 and <= 256; got 1000000000',
    );
    expect(() => estimateMemory({...config, model_type: 'gpt2'})).to.throw(
      /estimateMemory: model_type must be one of .*'llama', .*; got 'gpt2'/,
    );
    expect(() => estimateMemory([] as object)).to.throw(
      "estimateMemory: the first argument must be the object in a model's config.json or a tf.LayersModel; got []",
    );
  });

  it('estimates a model without blocks for the methods that draw none', async () => {
    const model = tfl.sequential({
      layers: [tfl.layers.dense({units: 12, inputShape: [8], name: 'only'})],
    });
    const [x, y] = [tf.zeros([2, 8]), tf.zeros([2, 12])];
    for (const [method, options] of [
      ['full', {}],
      ['galore', {rank: 2}],
      ['lora', {rank: 2, targets: ['only']}],
    ] as const) {
      const {optimizer, lora} = paperMethod(method, model, options);
      model.compile({optimizer, loss: 'meanSquaredError'});
      await model.fit(x, y, {verbose: 0});
      const measured = [optimizer.stateBytes, 4 * model.countParams()];
      lora?.remove();
      const {state, weights} = estimateMemory(model, {method, backend: 'cpu', ...options});
      expect([state, weights], method).to.deep.equal(measured);
      optimizer.dispose();
    }
    expect(() => estimateMemory(model, {method: 'lisa'})).to.throw('found no blocks');
    for (const each of [model, x, y]) each.dispose();
  });
});

describe('estimateMemory leaves everything as it was', () => {
  /** What a program can see of tfjs. */
  function surroundings(): object {
    const {numTensors, numBytes, numDataBuffers} = tf.memory();
    const backend = tf.getBackend();
    return {
      ...{numTensors, numBytes, numDataBuffers, backend, instance: tf.backend()},
      kernels: new Set(tf.getKernelsForBackend(backend)),
      otherKernels: tf.getKernelsForBackend('tensorflow').length,
      variables: Object.keys(tf.engine().registeredVariables),
    };
  }

  /** The numbers at the end of the names that tfjs gives next. */
  function nextNumbers(): number[] {
    const variable = tf.variable(tf.scalar(0));
    const llama = createLlama({
      ...{vocabSize: 5, hiddenSize: 4, intermediateSize: 4},
      ...{numHiddenLayers: 1, numAttentionHeads: 2},
    });
    const model = tfl.sequential({layers: [tfl.layers.dense({units: 1, inputShape: [1]})]});
    const names = [variable, ...llama.weights, ...model.weights, ...model.layers, model].map(
      ({name}) => Number(/\d*$/.exec(name)![0]),
    );
    for (const each of [variable, llama, model]) each.dispose();
    return names;
  }

  for (const backend of ['tensorflow', 'wasm', 'cpu', 'webgpu'] as const) {
    it(`of a config, on ${backend}`, () => {
      const before = surroundings();
      tf.tidy(() => {
        const kept = tf.scalar(7);
        estimateMemory(config, {method: 'lora', backend});
        estimateMemory(config, {frozenDtype: 'BF16', backend, gamma: 2, maxLength: 16});
        expect(kept.dataSync()[0]).to.equal(7);
      });
      expect(surroundings()).to.deep.equal(before);
    });
  }

  it('so that tfjs gives the names that it would have given', () => {
    const steps = (): number[] => {
      const [a, b] = [nextNumbers(), nextNumbers()];
      return b.map((number, i) => number - a[i]!);
    };
    const usual = steps();
    const first = nextNumbers();
    estimateMemory(config, {method: 'lora'});
    estimateMemory(config);
    expect(nextNumbers().map((number, i) => number - first[i]!)).to.deep.equal(usual);
  });

  it('of a model: values, flags, optimizer; and it trains on', async () => {
    const {model, x, y} = createTask();
    const optimizer = new OwLoreOptimizer({rank: 2});
    model.layers[1]!.trainable = false;
    model.compile({optimizer, loss: 'meanSquaredError'});
    const callback = new LayerSamplingCallback({gamma: 1, scores: 'uniform'});
    callback.attach(model, optimizer);
    callback.step();
    const seen = (): object => ({
      values: model.weights.map((weight) => [...weight.read().dataSync()]),
      ids: model.weights.map((weight) => weight.read().id),
      flags: model.weights.map((weight) => [
        weight.trainable,
        (weight.read() as tf.Variable).trainable,
      ]),
      ...{optimizer: model.optimizer, loss: model.loss},
    });
    const [before, around] = [seen(), surroundings()];
    for (const method of ['owlore', 'full', 'lora'] as const)
      estimateMemory(model, {method, batchSize: 4, rank: 2});
    expect(seen()).to.deep.equal(before);
    expect(surroundings()).to.deep.equal(around);
    callback.step(); // is still the model's
    callback.restore();
    await model.fit(x, y, {verbose: 0});
    for (const each of [optimizer, model, x, y]) each.dispose();
  });

  it('also if it throws', () => {
    const before = surroundings();
    expect(() => estimateMemory(config, {method: 'lora', rank: 17})).to.throw('rank');
    class Failing extends tfl.layers.Layer {
      static className = 'Failing';
      override call(): tf.Tensor {
        throw new Error('it fails');
      }
    }
    const input = tfl.input({shape: [8]});
    const hidden = tfl.layers.dense({units: 8}).apply(input) as tfl.SymbolicTensor;
    const model = tfl.model({
      inputs: input,
      outputs: new Failing({}).apply(hidden) as tfl.SymbolicTensor,
    });
    const withModel = surroundings();
    expect(() => estimateMemory(model, {method: 'full'})).to.throw('it fails');
    expect(surroundings()).to.deep.equal(withModel);
    model.dispose();
    expect(surroundings()).to.deep.equal(before);
  });

  itAtLength('and makes no array as large as a weight, of a model of 1.24 billion', function () {
    this.timeout(120_000);
    const llama1B = {
      ...config,
      ...{hidden_size: 2048, intermediate_size: 8192, num_hidden_layers: 16, vocab_size: 128256},
      ...{num_attention_heads: 32, num_key_value_heads: 8, tie_word_embeddings: true},
    };
    let longest = 0;
    const watched = <T extends new (...args: never[]) => {length: number}>(type: T): T =>
      new Proxy(type, {
        construct(target, args, newTarget) {
          const made = Reflect.construct(target, args, newTarget) as {length: number};
          longest = Math.max(longest, made.length);
          return made;
        },
      });
    const own = {Float32Array, Int32Array, Uint8Array, Float64Array};
    for (const [name, type] of Object.entries(own)) {
      Object.assign(globalThis, {[name]: watched(type as never)});
    }
    try {
      for (const backend of ['tensorflow', 'wasm', 'cpu', 'webgpu'] as const) {
        const options = {backend, batchSize: 2, maxLength: 64} as const;
        estimateMemory(llama1B, options);
        estimateMemory(llama1B, {...options, embedding: 'low-rank'});
        estimateMemory(llama1B, {...options, method: 'lora', rank: 64, dropout: 0.1});
        estimateMemory(llama1B, {...options, frozenDtype: 'BF16', method: 'badam'});
        estimateMemory(llama1B, {...options, method: 'galore', update: 'apollo'});
      }
    } finally {
      Object.assign(globalThis, own);
    }
    // the keys of a block are [2048, 512]
    expect(longest).to.be.lessThan(2048 * 512);
    expect(longest).to.be.greaterThan(64);
  });
});

describe('estimateMemory of a model that cannot run on shapes', () => {
  const reading = (): tfl.LayersModel => {
    class Reading extends tfl.layers.Layer {
      static className = 'Reading';
      override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
        const x = [inputs].flat()[0]!;
        return x.dataSync()[0]! > 0 ? x : tf.neg(x);
      }
    }
    const input = tfl.input({shape: [8]});
    const hidden = tfl.layers.dense({units: 8}).apply(input) as tfl.SymbolicTensor;
    const outputs = new Reading({}).apply(hidden) as tfl.SymbolicTensor;
    return tfl.model({inputs: input, outputs});
  };
  const stateful = (): tfl.LayersModel => {
    const gru = tfl.layers.gru({units: 4, stateful: true, batchInputShape: [2, 3, 4]});
    return tfl.sequential({layers: [gru]});
  };

  for (const [title, make] of Object.entries({reading, stateful})) {
    it(`guesses, and says so: ${title}`, () => {
      forgetLines();
      const model = make();
      let estimate: MemoryEstimate;
      const lines = captureWarnings(() => {
        estimate = estimateMemory(model, {method: 'full', batchSize: 2});
      });
      expect(lines).to.have.length(1);
      expect(lines[0]).to.match(/^estimateMemory: '.*' has a layer that reads values of tensors/);
      const {weights, state, total} = estimate!;
      expect([weights, state]).to.deep.equal([4 * model.countParams(), 8 * model.countParams()]);
      expect(total).to.be.greaterThan(weights + state);
      model.dispose();
    });
  }
});

function createTask(): {model: tfl.LayersModel; x: tf.Tensor; y: tf.Tensor} {
  const layers = Array.from({length: 3}, (_, i) =>
    tfl.layers.dense({units: 8, inputShape: [8], name: `dense${i}`}),
  );
  const model = tfl.sequential({layers});
  return {model, x: tf.ones([4, 8]), y: tf.ones([4, 8])};
}
