import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
// As the package @tensorflow/tfjs does, which programs import; tfjs-layers' orthogonal initializer needs it.
import '@tensorflow/tfjs-core/dist/public/chained_ops/register_all_chained_ops';
import * as tfl from '@tensorflow/tfjs-layers';
import {LayerSamplingCallback, OwLoreOptimizer} from '../../src/index';
import type {LayerSamplingOptions} from '../../src/index';

/** A program as users of tfjs have them, whose optimizer can be replaced, and callbacks added. */
export interface Program {
  /** The kind of program. */
  title: string;
  /** What of tfjs it stands on. */
  uses: string;
  /** Parts of Adam's progress that may be missing; see {@link progress}. Default: `optimizer` 0.02, `sampling` 0.3. */
  margins?: {optimizer?: number; sampling?: number};
  /** Why it has no blocks to be sampled, if it has none. */
  noBlocks?: string;
  /** Whether a graphics driver that computes on the processor is through with it in some seconds. */
  quick?: boolean;
  /** The program itself. What it makes it disposes of, but for optimizers. */
  run(trainer: Trainer): Promise<Outcome>;
}

/** What the program's user looks at, before and after training: a loss or so; less is better. */
export interface Outcome {
  before: number;
  after: number;
}

export const contenders = ['Adam', 'OwLoreOptimizer', 'LayerSamplingCallback'] as const;

/** `tf.train.adam` as the program was written, `OwLoreOptimizer` in its place, or also `LayerSamplingCallback`. */
export type Contender = (typeof contenders)[number];

/** The part of Adam's progress that was made: 1 is all. */
export function progress(outcome: Outcome, adam: Outcome): number {
  return (outcome.before - outcome.after) / (adam.before - adam.after);
}

/** Goes around each step of a loop of one's own. */
interface Loop {
  /** To be called before each step. */
  step(): void;
  /** To be called after each step. */
  stepped(): void;
  /** To be called in the end. */
  restore(): void;
}

/** Gives a program its optimizers and callbacks, and looks at its memory and its weights' order on the way. */
export class Trainer {
  /** All that the program has asked for. */
  readonly optimizers: tf.Optimizer[] = [];
  private bytes: number | null = null;
  /** Steps at which periods began, with the callback. */
  readonly periods: number[] = [];

  constructor(private readonly contender: Contender) {}

  /** In the place of `tf.train.adam(learningRate)`. */
  optimizer(learningRate: number): tf.Optimizer {
    const optimizer =
      this.contender === 'Adam'
        ? tf.train.adam(learningRate, 0.9, 0.999, 1e-8)
        : new OwLoreOptimizer({learningRate});
    this.optimizers.push(optimizer);
    return optimizer;
  }

  /** The callbacks of a `fit`; the same ones can be given to several. */
  callbacks(options: LayerSamplingOptions = {}): tfl.Callback[] {
    return [...this.sampling(options), new OrderWatch()];
  }

  /** For a loop of one's own around `optimizer`. */
  loop(model: tfl.LayersModel, optimizer: tf.Optimizer, options: LayerSamplingOptions = {}): Loop {
    const [sampling] = this.sampling(options);
    const watch = new OrderWatch();
    watch.setModel(model);
    watch.begin();
    if (sampling) {
      // A loop around minimize has not compiled its model.
      if (!(model.optimizer as tf.Optimizer | undefined))
        model.compile({optimizer, loss: 'meanSquaredError'});
      sampling.setModel(model);
    }
    return {
      step: () => sampling?.step(),
      stepped: () => watch.check(),
      restore: () => sampling?.restore(),
    };
  }

  /** To be called when as much is in memory as at the call before: before and after a `fit`, after each turn of a loop. */
  async round(): Promise<void> {
    if (this.contender === 'Adam') return; // whose state counts itself nowhere
    const optimizers = this.optimizers as OwLoreOptimizer[];
    // Checks that wait for the device hold a tensor each.
    for (const optimizer of optimizers) await optimizer.settled();
    const state = optimizers.reduce((sum, {stateBytes}) => sum + stateBytes, 0);
    const bytes = tf.memory().numBytes - state;
    this.bytes ??= bytes;
    expect(bytes, 'bytes beside the state').to.equal(this.bytes);
  }

  /** With the callback, that so many trainings began with a first step. */
  expectStarts(count: number): void {
    if (this.contender !== 'LayerSamplingCallback') return;
    expect(this.periods.filter((step) => step === 1)).to.have.length(count);
  }

  /** Frees the state of all optimizers. */
  async dispose(): Promise<void> {
    for (const optimizer of this.optimizers) {
      // tfjs says of all optimizers that they are instances of any.
      if (this.contender !== 'Adam') await (optimizer as OwLoreOptimizer).settled();
      optimizer.dispose();
    }
  }

  private sampling(options: LayerSamplingOptions): LayerSamplingCallback[] {
    if (this.contender !== 'LayerSamplingCallback') return [];
    const callback = new LayerSamplingCallback({interval: 2, ...options});
    callback.events.on('sample', ({step}) => this.periods.push(step));
    return [callback];
  }
}

/** Sees that a model's weights keep their order while it is trained. */
class OrderWatch extends tfl.Callback {
  private names: string[] = [];

  begin(): void {
    this.names = this.model.weights.map(({name}) => name);
  }

  check(): void {
    expect(
      this.model.weights.map(({name}) => name),
      'order of the weights',
    ).to.deep.equal(this.names);
  }

  override async onTrainBegin(): Promise<void> {
    this.begin();
  }

  override async onBatchEnd(): Promise<void> {
    this.check();
  }
}
