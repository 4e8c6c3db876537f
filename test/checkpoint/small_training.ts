import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  LayerSamplingCallback,
  OwLoreOptimizer,
  type CheckpointParts,
  type LayerSamplingOptions,
  type OwLoreOptions,
} from '../../src/index';
import {uninstallKernels} from '../../src/kernels/tensorflow';

const FEATURES = 6;
const UNITS = 8;
const ROWS = 5;

/**
 * The option `kernels` with which a training is exact. On tensorflow this library's kernels begin op by op and go on as graphs, which
 * round in another way; there, those that are registered are removed.
 */
export function exactKernels(): 'auto' | 'none' {
  if (tf.getBackend() !== 'tensorflow') return 'auto';
  uninstallKernels();
  return 'none';
}

/** What can be chosen of a {@link SmallTraining}. */
export interface SmallTrainingOptions {
  optimizer?: OwLoreOptions;
  /** Null: no callback. */
  sampling?: LayerSamplingOptions | null;
  /** Of the initial weights. */
  seed?: number;
  /** Blocks of the model. */
  blocks?: number;
}

/** Batches that are drawn by their number, in an order of their own. */
export class NumberedBatches implements AsyncIterable<{xs: tf.Tensor; ys: tf.Tensor}> {
  private position = 0;

  /** @param count Batches in a pass. */
  constructor(private readonly count = Infinity) {}

  next(): {xs: tf.Tensor2D; ys: tf.Tensor2D} {
    const seed = 1 + 7 * this.position++;
    return tf.tidy(() => {
      const xs = tf.randomUniform<tf.Rank.R2>([ROWS, FEATURES], -1, 1, 'float32', seed);
      return {xs, ys: tf.mul<tf.Tensor2D>(tf.slice(xs, [0, 0], [ROWS, 1]), tf.sum(xs, 1, true))};
    });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<{xs: tf.Tensor2D; ys: tf.Tensor2D}, void> {
    do yield this.next();
    while (this.position % this.count !== 0);
  }

  async iterator(): Promise<AsyncGenerator<{xs: tf.Tensor2D; ys: tf.Tensor2D}, void>> {
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
  private isAttached = false;

  constructor({optimizer, sampling, seed = 1, blocks = 4}: SmallTrainingOptions = {}) {
    this.model = smallModel(seed, blocks);
    this.optimizer = new OwLoreOptimizer({learningRate: 0.05, rank: 2, ...optimizer});
    const names = Array.from({length: blocks}, (_, i) => `b${i}`);
    this.callback =
      sampling === null
        ? null
        : new LayerSamplingCallback({gamma: 2, interval: 3, blocks: names, ...sampling});
    this.data = new NumberedBatches();
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
    const variables = model.weights.map((weight) => weight.read() as tf.Variable);
    const losses: number[] = [];
    for (let i = 0; i < batches; i++) {
      callback?.step();
      const {xs, ys} = data.next();
      const loss = optimizer.minimize(
        () => tf.losses.meanSquaredError(ys, model.apply(xs, {training: true}) as tf.Tensor),
        true,
        variables,
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
      weights.push(bits(await (weight.read() as tf.Variable).data<'float32'>()));
    }
    const state: Record<string, number[]> = {};
    for (const {name, tensor} of await optimizer.getWeights()) {
      // tfjs numbers the names of models that are made later
      const isInteger = tensor.dtype === 'int32';
      const values = await tensor.data();
      const all = isInteger ? Array.from(values) : bits(values as Float32Array);
      // the largest number of a name is different in each process
      state[name.replace(/(kernel|bias)(_\d+)/, '$1')] = name.endsWith('clocks')
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
