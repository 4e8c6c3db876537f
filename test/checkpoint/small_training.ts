import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  LayerSamplingCallback,
  OwLoreOptimizer,
  type CheckpointParts,
  type LayerSamplingOptions,
  type OwLoreOptions,
} from '../../src/index';
import {KernelGraphs} from '../../src/kernels/tensorflow/graphs';
import {install, uninstallKernels} from '../../src/kernels/tensorflow/install';
import {createLlama, sparseCrossEntropy} from '../../src/llama';
import {valuesOf} from '../../src/model/packed_weight';
import {variableOf} from '../../src/tfjs/models';

const FEATURES = 6;
const UNITS = 8;
const ROWS = 5;

/**
 * On tensorflow: kernels that have not run yet, as in a new process; after `runsBefore` runs with inputs of the same shapes they run
 * as graphs, which round in another way than op by op.
 */
export function installNewKernels(runsBefore = 3): void {
  if (tf.getBackend() !== 'tensorflow') return;
  uninstallKernels();
  install(new KernelGraphs(runsBefore));
}

/** What is trained. */
interface Task {
  /** A model with blocks of these names. */
  model(seed: number, blocks: number): tfl.LayersModel;
  block(i: number): string;
  batch(seed: number): Batch;
  loss(labels: tf.Tensor, output: tf.Tensor): tf.Scalar;
}

type Batch = Record<'xs' | 'ys', tf.Tensor>;

/** What can be chosen of a {@link SmallTraining}. */
export interface SmallTrainingOptions {
  /** Default `'dense'`. */
  task?: keyof typeof tasks;
  optimizer?: OwLoreOptions;
  /** Null: no callback. */
  sampling?: LayerSamplingOptions | null;
  /** Of the initial weights. */
  seed?: number;
  /** Blocks of the model. */
  blocks?: number;
  /** Takes the place of the task's own model, of as many blocks. */
  model?: tfl.LayersModel;
  /** Variables that every second batch has no gradients for. */
  everyOther?: RegExp;
}

/** Batches that are drawn by their number, in an order of their own. */
export class NumberedBatches implements AsyncIterable<Batch> {
  private position = 0;

  /** @param count Batches in a pass. */
  constructor(
    private readonly count = Infinity,
    private readonly batch = denseBatch,
  ) {}

  next(): Batch {
    const seed = 1 + 7 * this.position++;
    return tf.tidy(() => this.batch(seed));
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch, void> {
    do yield this.next();
    while (this.position % this.count !== 0);
  }

  async iterator(): Promise<AsyncGenerator<Batch, void>> {
    return this[Symbol.asyncIterator]();
  }

  state(): {position: number} {
    return {position: this.position};
  }

  restore(state: unknown): void {
    const {position} = state as {position?: number};
    if (typeof position !== 'number') throw new Error('NumberedBatches: no such state');
    this.position = position;
  }
}

/** A small model in training by a loop of its own. */
export class SmallTraining {
  readonly model: tfl.LayersModel;
  readonly optimizer: OwLoreOptimizer;
  readonly callback: LayerSamplingCallback | null;
  readonly data: NumberedBatches;
  private readonly task: Task;
  private readonly everyOther: RegExp | undefined;
  private isAttached = false;

  constructor(options: SmallTrainingOptions = {}) {
    const {task, optimizer, sampling, seed = 1, blocks = 4, model} = options;
    this.task = tasks[task ?? 'dense'];
    this.everyOther = options.everyOther;
    this.model = model ?? this.task.model(seed, blocks);
    this.optimizer = new OwLoreOptimizer({learningRate: 0.05, rank: 2, ...optimizer});
    const names = Array.from({length: blocks}, (_, i) => this.task.block(i));
    this.callback =
      sampling === null
        ? null
        : new LayerSamplingCallback({
            ...{gamma: 2, interval: 3, blocks: names},
            ...sampling,
          });
    this.data = new NumberedBatches(Infinity, this.task.batch);
  }

  get parts(): CheckpointParts {
    const {model, optimizer, callback, data} = this;
    return {model, optimizer, data, ...(callback && {callback})};
  }

  /** Trains for some batches; gives the bits of their losses. */
  async train(batches: number): Promise<number[]> {
    const {model, optimizer, callback, data} = this;
    if (!this.isAttached) callback?.attach(model, optimizer);
    this.isAttached = true;
    const variables = model.weights.map(variableOf);
    const losses: number[] = [];
    for (let i = 0; i < batches; i++) {
      callback?.step();
      const isEven = data.state().position % 2 === 0;
      const {xs, ys} = data.next();
      const loss = optimizer.minimize(
        () => this.task.loss(ys, model.apply(xs, {training: true}) as tf.Tensor),
        true,
        isEven ? variables : variables.filter(({name}) => !this.everyOther?.test(name)),
      )!;
      losses.push(bits(await loss.data<'float32'>())[0]!);
      tf.dispose([xs, ys, loss]);
    }
    return losses;
  }

  /** All that the next step depends on, to the last bit. */
  async snapshot(): Promise<unknown> {
    const {model, optimizer, callback, data} = this;
    await optimizer.settled();
    const weights: number[][] = [];
    for (const weight of model.weights) {
      weights.push(bits(await valuesOf(weight)));
    }
    const state: Record<string, number[]> = {};
    for (const {name, tensor} of await optimizer.getWeights()) {
      // tfjs numbers the names of models that are made later
      const isInteger = tensor.dtype === 'int32';
      const values = await tensor.data();
      const all = isInteger ? Array.from(values) : bits(values as Float32Array);
      // the largest number of a name is different in each process
      state[name.replace(/(kernel|bias|weight)(_\d+)/, '$1')] = name.endsWith('clocks')
        ? [...all.slice(0, 3), ...all.slice(4)]
        : all;
    }
    return {
      ...{weights, state, callback: callback?.getState(), data: data.state()},
      skipped: optimizer.skippedSteps,
      learningRate: optimizer.learningRate,
    };
  }

  dispose(): void {
    this.callback?.restore();
    this.optimizer.dispose();
    this.model.dispose();
  }
}

/** The bits of float32 numbers: a NaN is equal to itself, and 0 is not −0. */
function bits(values: Float32Array): number[] {
  return Array.from(new Uint32Array(values.buffer, values.byteOffset, values.length));
}

export function smallModel(seed: number, blocks: number): tfl.LayersModel {
  const layer = (name: string, units: number, i: number): tfl.layers.Layer =>
    tfl.layers.dense({
      ...{name, units, activation: i === 0 ? 'linear' : 'tanh'},
      kernelInitializer: tfl.initializers.glorotUniform({seed: 100 * seed + i}),
    });
  const input = tfl.input({shape: [FEATURES]});
  let x = layer('stem', UNITS, 0).apply(input) as tfl.SymbolicTensor;
  for (let i = 0; i < blocks; i++) {
    x = layer(`b${i}`, UNITS, i + 1).apply(x) as tfl.SymbolicTensor;
  }
  return tfl.model({
    inputs: input,
    outputs: layer('head', 1, 0).apply(x) as tfl.SymbolicTensor,
  });
}

function denseBatch(seed: number): Batch {
  const xs = tf.randomUniform([ROWS, FEATURES], -1, 1, 'float32', seed);
  return {xs, ys: tf.mul(tf.slice(xs, [0, 0], [ROWS, 1]), tf.sum(xs, 1, true))};
}

const VOCABULARY = 24;
const LENGTH = 12;

export function smallLlama(seed: number, blocks: number, headInLoss = false): tfl.LayersModel {
  return createLlama({
    ...{vocabSize: VOCABULARY, hiddenSize: 16, intermediateSize: 24, numHiddenLayers: blocks},
    ...{numAttentionHeads: 2, numKeyValueHeads: 1, headInLoss, seed},
  });
}

const tasks = {
  /** A function of six numbers, by dense layers. */
  dense: {
    model: smallModel,
    block: (i) => `b${i}`,
    batch: denseBatch,
    loss: (ys, output) => tf.losses.meanSquaredError(ys, output),
  },
  /** The next token, by a LLaMA. */
  llama: {
    model: smallLlama,
    block: (i) => `model.layers.${i}`,
    batch: (seed) => {
      const ids = tf.randomUniformInt([3, LENGTH + 1], 0, VOCABULARY, seed);
      const from = (start: number): tf.Tensor => tf.slice(ids, [0, start], [3, LENGTH]);
      return {xs: from(0), ys: from(1)};
    },
    loss: sparseCrossEntropy,
  },
} satisfies Record<string, Task>;
