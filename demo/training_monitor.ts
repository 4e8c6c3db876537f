/** Watches a run: the progress, the held-out loss and the record for the report. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import type {Windows} from './dataset';
import {startProgress, type Progress} from '../src/cli/progress';
import type {MemoryMeter} from '../src/memory/meter';
import type {StepRecord} from '../src/report/report';
import type {Block} from '../src/index';

export interface MonitorOptions {
  steps: number;
  blocks: Block[];
  meter: MemoryMeter;
  batchSize: number;
  /** Learning rate of the next step. */
  learningRate: () => number;
  heldOut: Windows;
  /** Steps between evaluations on the held-out windows. */
  evaluateEvery: number;
}

/**
 * A plain tfjs callback: put it behind the one that draws the blocks, so that it sees what a step will train.
 */
export class TrainingMonitor extends tfl.Callback {
  readonly steps: StepRecord[] = [];
  readonly heldOut: {step: number; loss: number}[] = [];
  /** The most that stayed allocated between two steps since training began: the optimizer's state. */
  stateBytes = 0;

  private bytesAtStart = 0;
  private active: boolean[] = [];
  private rate = 0;
  private progress?: Progress;

  constructor(private readonly options: MonitorOptions) {
    super();
  }

  override async onTrainBegin(): Promise<void> {
    await this.evaluate();
    this.bytesAtStart = this.options.meter.current();
    this.progress = startProgress(process.stdout, {label: 'training', total: this.options.steps});
  }

  override async onBatchBegin(): Promise<void> {
    const {blocks, meter, learningRate} = this.options;
    this.active = blocks.map(({weights}) => isTrainable(weights[0]!));
    this.rate = learningRate();
    meter.reset();
  }

  override async onBatchEnd(
    _batch: number,
    logs?: Record<string, number | tf.Scalar>,
  ): Promise<void> {
    const {meter, evaluateEvery} = this.options;
    const peak = meter.peak();
    this.stateBytes = Math.max(this.stateBytes, meter.current() - this.bytesAtStart);
    // Custom callbacks get tensors, where tfjs's types and its documentation say numbers.
    const loss = (await (logs!.loss as tf.Scalar).data())[0]!;
    const step: StepRecord = {loss, learningRate: this.rate, active: this.active, peak};
    this.steps.push(step);
    this.progress?.update(this.steps.length, describe(step));
    if (this.steps.length % evaluateEvery === 0) await this.evaluate();
  }

  override async onTrainEnd(): Promise<void> {
    this.progress?.end();
    if (this.heldOut.at(-1)?.step !== this.steps.length) await this.evaluate();
  }

  private async evaluate(): Promise<void> {
    const {heldOut, batchSize} = this.options;
    const loss = this.model.evaluate(heldOut.x, heldOut.y, {
      batchSize,
    }) as tf.Scalar;
    this.heldOut.push({step: this.steps.length, loss: (await loss.data())[0]!});
    loss.dispose();
  }
}

function isTrainable(variable: string): boolean {
  return tf.engine().registeredVariables[variable]!.trainable;
}

/** `loss 2.913  lr 1.2e-3  ■□■■□□■□  377 MB`: the squares are the blocks, filled where they trained. */
function describe({loss, learningRate, active, peak}: StepRecord): string {
  const blocks = active.map((on) => (on ? '■' : '□')).join('');
  const megabytes = (peak / 1e6).toFixed(0);
  return `loss ${loss.toFixed(3)}  lr ${learningRate.toExponential(1)}  ${blocks}  ${megabytes} MB`;
}
