import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {OwLoreOptimizer, outlierScores, paperMethod, type PaperMethodName} from '../../src/index';
import '../../src/lora';
import type {
  DescribedBackend,
  KernelInputs,
  KernelOutput,
  OutputRule,
} from '../../src/kernels/kernel_outputs';
import {OwLoreDecodeBlocks} from '../../src/kernels/llama/kernel_names';
import {outputs} from '../../src/kernels/outputs';
import {tfjsOutputs} from '../../src/kernels/tfjs_outputs';
import {createLlama, generate, loadLlama, saveLlama, sparseCrossEntropy} from '../../src/llama';
import type {LlamaConfig} from '../../src/llama';
import {describeFastBackends, type BackendName} from '../support/backends';
import {modelZoo} from '../support/model_zoo';
import {replaceKernel} from '../../src/tfjs/kernels';

/** The rule of a kernel; undefined if there is none. */
function ruleOf(kernel: string): OutputRule<object> | undefined {
  const rule = outputs[kernel]?.outputs ?? tfjsOutputs(kernel);
  return rule as OutputRule<object> | undefined;
}

/** Data of a backend: how many tensors have them, and, where a backend knows, where they are. */
interface WatchedBackend {
  refCount(dataId: object): number;
  getMemoryOffset?(dataId: object): number;
  /** Of wasm. */
  dataIdMap?: tf.DataStorage<{shape: number[]}>;
}

/**
 * Runs `body` and compares what each kernel of the current backend returns with its rule.
 *
 * @returns The kernels that ran; and of each difference a line.
 */
async function holdKernels(
  body: () => unknown,
): Promise<{kernels: Set<string>; differences: Set<string>}> {
  const backend = tf.getBackend() as DescribedBackend;
  const [kernels, differences] = [new Set<string>(), new Set<string>()];
  const stock = tf.getKernelsForBackend(backend);
  for (const {kernelFunc, ...config} of stock) {
    const {kernelName} = config;
    replaceKernel(backend, kernelName, {
      ...config,
      kernelFunc: (call) => {
        const inputs = given(call.inputs, call.backend as WatchedBackend);
        const places = placesOf(inputs, call.backend as WatchedBackend);
        const result = kernelFunc(call);
        kernels.add(kernelName);
        const rule = ruleOf(kernelName);
        const expected = rule?.(inputs, call.attrs ?? {}, backend);
        const described = expected && asText(expected, (output) => memoryByRule(output, places));
        const actual = asText(result, (info) =>
          memoryOf(info, places, call.backend as WatchedBackend),
        );
        if (described !== actual) {
          const shapes = Object.entries(inputs).map(([name, {shape}]) => `${name} [${shape}]`);
          differences.add(`${kernelName}(${shapes}): ${actual}; by its rule ${described}`);
        }
        return result;
      },
    });
  }
  try {
    await body();
  } finally {
    for (const config of stock) replaceKernel(backend, config.kernelName, config);
  }
  return {kernels, differences};
}

function given(inputs: tf.NamedTensorInfoMap, {dataIdMap}: WatchedBackend): KernelInputs {
  return Object.fromEntries(
    Object.entries(inputs).flatMap(([name, info]) => {
      if (info == null) return [];
      const {dataId, shape, dtype} = info;
      return [[name, {dataId, shape, dtype, storedShape: dataIdMap?.get(dataId).shape ?? shape}]];
    }),
  );
}

interface Place {
  dataId: object;
  owners: number;
  offset: number | undefined;
}

function placesOf(inputs: KernelInputs, backend: WatchedBackend): Map<string, Place> {
  const entries = Object.entries(inputs).map(([name, {dataId, shape}]): [string, Place] => {
    const offset = tf.util.sizeFromShape(shape) > 0 ? backend.getMemoryOffset?.(dataId) : undefined;
    return [name, {dataId, owners: backend.refCount(dataId), offset}];
  });
  return new Map(entries);
}

type Describe<T> = (x: T) => string;

function asText<T extends tf.TensorInfo | KernelOutput>(
  outputs: T | T[],
  memory: Describe<T>,
): string {
  return JSON.stringify(
    [outputs].flat().map((x) => [(x as T).shape, (x as T).dtype, memory(x as T)]),
  );
}

/** What is said of the memory of an output: whose id it has, whose memory without the id, or that it is new. */
function memoryByRule(
  {view, inPlace, hasOwnId = false}: KernelOutput,
  places: ReadonlyMap<string, Place>,
): string {
  const changed = inPlace !== undefined && places.get(inPlace)!.owners === 1 ? inPlace : undefined;
  const name = view ?? changed;
  if (name === undefined) return 'new';
  const {dataId, offset} = places.get(name)!;
  if (!hasOwnId) return firstWith(places, (place) => place.dataId === dataId)!;
  // on tensorflow nothing says that two tensors have the same memory
  return offset === undefined
    ? 'new'
    : `memory of ${firstWith(places, (p) => p.offset === offset)}`;
}

function memoryOf(
  {dataId, shape}: tf.TensorInfo,
  places: ReadonlyMap<string, Place>,
  backend: WatchedBackend,
): string {
  const sameId = firstWith(places, (place) => place.dataId === dataId);
  if (sameId !== undefined) return sameId;
  if (!backend.getMemoryOffset || tf.util.sizeFromShape(shape) === 0) return 'new';
  const offset = backend.getMemoryOffset(dataId);
  const same = firstWith(places, (place) => place.offset === offset);
  return same === undefined ? 'new' : `memory of ${same}`;
}

function firstWith(
  places: ReadonlyMap<string, Place>,
  isIt: (place: Place) => boolean,
): string | undefined {
  return [...places].find(([, place]) => isIt(place))?.[0];
}

const small: LlamaConfig = {
  ...{vocabSize: 40, hiddenSize: 8, intermediateSize: 12, numHiddenLayers: 3},
  ...{numAttentionHeads: 2, numKeyValueHeads: 1, maxPositionEmbeddings: 300, headInLoss: true},
};

/** Two steps of a method with a model, of some tokens each. */
async function trainLlama(
  model: tfl.LayersModel,
  method: PaperMethodName = 'owlore',
  options: object = {},
  length = 9,
): Promise<void> {
  const sampling = /owlore|lisa|badam/.test(method) && {probabilities: [1, 0, 1], sampler: 'exact'};
  const {optimizer, callback, lora} = paperMethod(method, model, {
    ...{rank: 2, refreshInterval: 1},
    ...(sampling as object),
    ...options,
  });
  model.compile({optimizer, loss: sparseCrossEntropy});
  const ids = tf.randomUniform([4, length], 0, 40, 'int32', 7);
  const labels = tf.expandDims(ids, 2);
  await model.fit(ids, labels, {
    ...{batchSize: 2, epochs: 1, verbose: 0},
    callbacks: callback ? [callback] : [],
  });
  lora?.remove();
  for (const each of [optimizer, model, ids, labels]) each.dispose();
}

/** What runs the kernels, by what it is. */
const programs: Record<string, () => Promise<void>> = {
  ...Object.fromEntries(
    (['owlore', 'lisa', 'galore', 'lora', 'full'] as const).map((method) => [
      method,
      () => trainLlama(createLlama(small), method),
    ]),
  ),
  'no checkpoints': () => trainLlama(createLlama(small), 'full', {gradientCheckpointing: 'none'}),
  'checkpoints of parts, by small weights': () =>
    trainLlama(createLlama({...small, hiddenSize: 4, tieWordEmbeddings: true}), 'full', {}, 140),
  'a sliding window': () =>
    trainLlama(
      createLlama({...small, architecture: 'mistral', slidingWindow: 5}),
      'full',
      {gradientCheckpointing: 'none'},
      150,
    ),
  'biases of attention': () => trainLlama(createLlama({...small, architecture: 'qwen2'})),
  'norms of queries and keys': () =>
    trainLlama(createLlama({...small, architecture: 'qwen3'}), 'full'),
  'norms of outputs, GELU': () =>
    trainLlama(createLlama({...small, architecture: 'gemma3'}), 'full'),
  'the head as a layer': () => trainLlama(createLlama({...small, headInLoss: false}), 'full'),
  'a low-rank embedding': () => trainLlama(createLlama(small), 'galore', {project: /weight/}),
  'gradients that are added up': () => trainLlama(createLlama(small), 'owlore', {accumulate: 2}),
  Fira: () => trainLlama(createLlama(small), 'galore', {update: 'fira'}),
  APOLLO: () => trainLlama(createLlama(small), 'galore', {update: 'apollo'}),
  'a limited norm': () => trainLlama(createLlama(small), 'owlore', {clipNorm: 1}),
  'large weights': () => trainLlama(createLlama({...small, vocabSize: 2 ** 13}), 'full', {}, 30),
  'exact bases': () => trainLlama(createLlama(small), 'owlore', {basis: 'svd'}),
  "an optimizer of tfjs's": async () => {
    const model = createLlama(small);
    const optimizer = tf.train.adam();
    model.compile({optimizer, loss: sparseCrossEntropy});
    const ids = tf.randomUniform([2, 5], 0, 40, 'int32', 7);
    await model.trainOnBatch(ids, tf.expandDims(ids, 2));
    for (const each of [model, optimizer, ids]) each.dispose();
  },
  'adapters of some matrices, with dropout': async () => {
    await trainLlama(createLlama(small), 'lora', {targets: ['q_proj', 'mlp']});
    await trainLlama(createLlama(small), 'lora', {targets: 'attention', dropout: 0.1});
  },
  'frozen weights at 16 bits': async () => {
    await trainLlama(await packed(), 'owlore', {interval: 1, probabilities: [0.5, 0.5, 0.5]});
    await trainLlama(await packed(), 'badam');
  },
  generation: async () => {
    const model = await packed();
    await generate(model, [1, 2, 3], {maxNewTokens: 3, temperature: 0});
    model.dispose();
    const whole = createLlama(small);
    await generate(whole, [1, 2, 3], {maxNewTokens: 3, temperature: 0});
    // block by block
    replaceKernel(tf.getBackend(), OwLoreDecodeBlocks, undefined);
    await generate(whole, [1, 2, 3], {maxNewTokens: 3, temperature: 0});
    whole.dispose();
  },
  scores: async () => {
    const model = createLlama(small);
    const ids = tf.randomUniform([2, 5], 0, 40, 'int32', 7);
    await outlierScores(model, [ids]);
    for (const each of [model, ids]) each.dispose();
  },
};

async function packed(): Promise<tfl.LayersModel> {
  const files = new Map<string, Uint8Array>();
  const created = createLlama(small);
  await saveLlama(created, files);
  created.dispose();
  const {model} = await loadLlama(files, {frozenDtype: 'BF16', headInLoss: true});
  return model;
}

describeFastBackends('outputs of kernels', function (backend: BackendName) {
  if (backend === 'webgl') return;
  // by software it takes minutes to compile its programs
  if (backend === 'webgpu') this.timeout(300_000);
  const seen = new Set<string>();

  async function expectRules(body: () => unknown): Promise<void> {
    const {kernels, differences} = await holdKernels(body);
    kernels.forEach((name) => seen.add(name));
    expect([...differences]).to.deep.equal([]);
  }

  for (const [title, program] of Object.entries(programs)) {
    // they are read from the device
    if (backend === 'webgpu' && title === 'exact bases') continue;
    it(`are what the rules say: LLaMA, ${title}`, () => expectRules(program));
  }

  for (const {title, build} of modelZoo) {
    it(`are what the rules say: ${title}`, () =>
      expectRules(async () => {
        const {model, loss, createData} = build();
        const {x, y} = createData(4);
        const optimizer = new OwLoreOptimizer({rank: 2});
        model.compile({optimizer, loss});
        await model.fit(x, y, {epochs: 2, batchSize: 4, verbose: 0});
        for (const each of [optimizer, model, x, y]) each.dispose();
      }));
  }

  it('have rules on the backends that have the kernels', () => {
    const registered = tf.getKernelsForBackend(backend).map(({kernelName}) => kernelName);
    const own = registered.filter((name) => name.startsWith('OwLore')).sort();
    const described = Object.keys(outputs).filter((name) => outputs[name]!.on.includes(backend));
    expect(described.sort()).to.deep.equal(own);
    expect(
      own.filter((name) => !seen.has(name)),
      'that did not run',
    ).to.deep.equal([]);
  });
});
