/** Watches a training: its progress, its held-out loss, and the time and memory of each step, for log and report. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {isObject, show} from '../files/json';
import type {MemoryMeter} from '../memory/meter';
import type {Block} from '../model/blocks';
import {checkNumber, countRange} from '../common/options';
import type {Answer} from './held_out_answers';
import type {StepRecord} from './report/report';
import {nextTurn} from '../common/next_turn';
import type {Progress} from './progress';

/** A step of the optimizer. */
export interface StepEntry {
  event: 'step';
  /** 1, 2, … */
  step: number;
  /** Mean over the step's batches. */
  loss: number;
  learningRate: number;
  /** Names of the blocks that trained. */
  blocks: string[];
  seconds: number;
  /** The most tensor memory at once. */
  peakBytes: number;
}

/** The loss on held-out text after a step; 0: before the first. */
export interface HeldOutEntry {
  event: 'heldOut';
  step: number;
  loss: number;
}

/** What the model answers to held-out prompts after a step; 0: before the first. */
export interface AnswersEntry {
  event: 'answers';
  step: number;
  answers: Answer[];
}

/** Which step's model was saved, with its held-out loss. */
export interface SavedEntry extends Omit<HeldOutEntry, 'event'> {
  event: 'saved';
}

export type LogEntry = StepEntry | HeldOutEntry | AnswersEntry | SavedEntry;

/**
 * A line of a log as an entry; null if it is of the end of a run, which one that goes on comes to once more.
 *
 * @param what What messages start with: the file.
 * @throws if it is none.
 */
export function checkedEntry(what: string, value: unknown): LogEntry | null {
  const fail = (): never => {
    throw new Error(`${what} has a line that is no entry of a log: ${show(value)}`);
  };
  if (!isObject(value)) return fail();
  const {event, step, blocks, answers} = value;
  if (event === 'end' || event === 'saved') return null;
  const numbers = (name: string): number => numberIn(value[name]) ?? fail();
  if (typeof step !== 'number' || !Number.isSafeInteger(step)) return fail();
  if (event === 'answers') return areAnswers(answers) ? {event, step, answers} : fail();
  const loss = numbers('loss');
  if (event === 'heldOut') return {event, step, loss};
  if (event !== 'step' || !areNames(blocks)) return fail();
  const [learningRate, seconds] = [numbers('learningRate'), numbers('seconds')];
  return {event, step, loss, learningRate, blocks, seconds, peakBytes: numbers('peakBytes')};
}

/** A number of a JSON file, where it is null if it is not finite; undefined if it is none. */
function numberIn(value: unknown): number | undefined {
  if (value === null) return NaN;
  return typeof value === 'number' ? value : undefined;
}

function areNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((name) => typeof name === 'string');
}

function areAnswers(value: unknown): value is Answer[] {
  const isText = (text: unknown): boolean => typeof text === 'string';
  return (
    Array.isArray(value) &&
    value.every((each) => isObject(each) && isText(each['prompt']) && isText(each['text']))
  );
}

/** What is watched, and where it is shown. */
export interface MonitorOptions {
  /** Steps of the whole training. */
  steps: number;
  /** Batches in a step; default 1. */
  accumulate?: number;
  blocks: readonly Block[];
  meter: MemoryMeter;
  /** With the rate of its next step, and the bytes of its state. */
  optimizer: {readonly learningRate: number; readonly stateBytes: number};
  /**
   * The held-out loss; null if the training is about to stop, so that it is left to the one that goes on. It calls `watch` with
   * how far it is.
   */
  evaluate: (watch: (part: string) => void) => Promise<number | null>;
  /** Steps between two held-out losses; there is one before the first step and after the last one, too. */
  evaluateEvery: number;
  /**
   * Whether the training leaves the weights that had the lowest held-out loss after a step; a number: and ends when so many losses in a row
   * were not lower. Default false.
   */
  keepBest?: boolean | number;
  startProgress: () => Progress;
  /** Called with each entry of the log; default: no log. */
  log?: (entry: LogEntry) => void;
}

/** What the monitor of a training that goes on needs beside the log; plain JSON. */
export interface MonitorState {
  /** Steps that are done. */
  steps: number;
  stateBytes: number;
  /** The step that has begun; null between two steps. JSON has null for a sum that is not finite. */
  begun: {batches: number; lossSum: number | null} | null;
}

/**
 * Throws unless `value` is the state of a monitor after a step.
 *
 * @param what What messages start with.
 * @param optimizer How many batches its steps have, and how many it has of the next one.
 */
export function checkMonitorState(
  what: string,
  value: unknown,
  step: number,
  {accumulate, accumulated}: {accumulate: number; accumulated: number},
): asserts value is MonitorState {
  const {steps, stateBytes, begun} = isObject(value) ? value : {};
  const isBegun =
    begun === null ||
    (isObject(begun) &&
      Number.isSafeInteger(begun['batches']) &&
      numberIn(begun['lossSum']) !== undefined);
  if (!isObject(value) || !isBegun) {
    throw new Error(
      `${what} must be {steps, stateBytes, begun}, with null or {batches, lossSum} as begun; got ${show(value)}`,
    );
  }
  checkNumber(what, 'steps', steps, {min: step, max: step});
  checkNumber(what, 'stateBytes', stateBytes, countRange);
  const batches = isObject(begun) ? begun['batches'] : 0;
  if (batches === accumulated && accumulated < accumulate && (begun !== null) === accumulated > 0)
    return;
  throw new Error(
    `${what}: begun must be of the ${accumulated} batches that the optimizer has of the next step, ` +
      `and these fewer than accumulate (${accumulate}); got ${show(begun)}. Remove this checkpoint, to go on from an older one`,
  );
}

/** A step that has begun and not ended. */
interface BegunStep {
  active: boolean[];
  learningRate: number;
  start: number;
  lossSum: number;
  batches: number;
}

/**
 * A plain tfjs callback: put it behind the one that draws the blocks, so that it sees what a step will train.
 */
export class TrainingMonitor extends tfl.Callback {
  readonly steps: StepRecord[] = [];
  readonly heldOut: {step: number; loss: number}[] = [];
  readonly answers: Array<Omit<AnswersEntry, 'event'>> = [];
  /** The most bytes of the optimizer's state between two steps. */
  stateBytes = 0;
  /** What the steps took that the log has from before this training went on. */
  earlierSeconds = 0;

  private begun: BegunStep | null = null;
  /** Of the step that goes on with the next batch. */
  private restored: Pick<BegunStep, 'batches' | 'lossSum'> | null = null;
  private progress?: Progress;

  constructor(private readonly options: MonitorOptions) {
    super();
  }

  /** The most tensor memory at once in any step. */
  get peakBytes(): number {
    return this.steps.reduce((max, {peak}) => Math.max(max, peak), 0);
  }

  /** How many steps have trained a block, by its place in `blocks`. */
  stepsTrained(block: number): number {
    return this.steps.filter(({active}) => active[block]).length;
  }

  /** The held-out loss of the weights that the training leaves: the last one, or with `keepBest` the lowest, the first of equal ones. */
  get kept(): {step: number; loss: number} {
    const {step, loss} = this.measured[this.bestAt] ?? this.heldOut.at(-1)!;
    return {step, loss};
  }

  /** Whether the weights are those to be kept, as far as is known, and will change with the next batch. */
  get isBest(): boolean {
    const isBetweenSteps = this.state().begun === null;
    return isBetweenSteps && this.measured[this.bestAt]?.step === this.steps.length;
  }

  /** Of the held-out losses that `keepBest` compares the lowest; null if none is finite. */
  get lowest(): number | null {
    return this.measured[this.bestAt]?.loss ?? null;
  }

  /** How many of them were not lower in a row, until now. */
  get notLower(): number {
    return this.measured.length - 1 - this.bestAt;
  }

  /** Whether that is as many as `keepBest` waits for. */
  get isOver(): boolean {
    const {keepBest} = this.options;
    return typeof keepBest === 'number' && this.notLower >= keepBest;
  }

  /** Batches that the training has had. */
  get batches(): number {
    const {batches = 0} = this.begun ?? this.restored ?? {};
    return this.steps.length * this.accumulate + batches;
  }

  /** The state between two batches. */
  state(): MonitorState {
    const {stateBytes} = this;
    const begun = this.begun ?? this.restored;
    return {
      steps: this.steps.length,
      stateBytes,
      begun: begun && {batches: begun.batches, lossSum: begun.lossSum},
    };
  }

  /** Goes on from a state and the log until then. */
  restore({stateBytes, begun}: MonitorState, log: readonly LogEntry[]): void {
    this.stateBytes = stateBytes;
    for (const entry of log) {
      if (entry.event === 'heldOut') {
        this.heldOut.push({step: entry.step, loss: entry.loss});
      } else if (entry.event === 'answers') {
        this.answers.push({step: entry.step, answers: entry.answers});
      } else if (entry.event === 'step') {
        this.steps.push(this.recordOf(entry));
        this.earlierSeconds += entry.seconds;
      }
    }
    this.restored = begun && {...begun, lossSum: begun.lossSum ?? NaN};
  }

  /** Shows the progress from now on, until {@link end}. `fit` does so by itself. */
  begin(): void {
    this.progress = this.options.startProgress();
  }

  /** Takes a step that is made, into the log too. */
  recordStep(step: Omit<StepEntry, 'event'>): void {
    this.restored = null;
    const record = this.recordOf(step);
    this.steps.push(record);
    this.options.log?.({event: 'step', ...step});
    this.progress?.update(this.steps.length, describe(record));
  }

  /** Takes a held-out loss, into the log too. */
  recordHeldOut(entry: Omit<HeldOutEntry, 'event'>): void {
    this.heldOut.push(entry);
    this.options.log?.({event: 'heldOut', ...entry});
  }

  /** Takes answers to held-out prompts, into the log too. */
  recordAnswers(answers: Answer[]): void {
    const entry = {step: this.steps.length, answers};
    this.answers.push(entry);
    this.options.log?.({event: 'answers', ...entry});
  }

  end(): void {
    this.progress?.end();
  }

  override async onTrainBegin(): Promise<void> {
    this.begin();
    const isBetweenSteps = this.restored === null;
    if (isBetweenSteps && this.steps.length % this.options.evaluateEvery === 0)
      await this.evaluate();
  }

  override async onBatchBegin(): Promise<void> {
    if (this.begun) return;
    const {blocks, meter, optimizer} = this.options;
    this.begun = {
      active: blocks.map(({weights}) => isTrainable(weights[0]!)),
      learningRate: optimizer.learningRate,
      start: performance.now(),
      ...(this.restored ?? {lossSum: 0, batches: 0}),
    };
    this.restored = null;
    meter.reset();
  }

  override async onBatchEnd(
    _batch: number,
    logs?: Record<string, number | tf.Scalar>,
  ): Promise<void> {
    const begun = this.begun!;
    // Custom callbacks get tensors, where tfjs's types and its documentation say numbers.
    begun.lossSum += (await (logs!.loss as tf.Scalar).data())[0]!;
    begun.batches++;
    if (begun.batches === this.accumulate) await this.endStep(begun);
    if (this.isOver) this.model.stopTraining = true;
    await nextTurn();
  }

  override async onTrainEnd(): Promise<void> {
    await this.evaluate();
    this.end();
  }

  /** The held-out losses that `keepBest` compares. */
  private get measured(): Array<{step: number; loss: number}> {
    return this.options.keepBest ? this.heldOut.filter(({step}) => step > 0) : [];
  }

  /** Of these the place of the lowest, the first of equal ones; -1 if none is finite. */
  private get bestAt(): number {
    const losses = this.measured.map(({loss}) => (Number.isFinite(loss) ? loss : Infinity));
    const lowest = Math.min(...losses);
    return lowest < Infinity ? losses.indexOf(lowest) : -1;
  }

  private get accumulate(): number {
    return this.options.accumulate ?? 1;
  }

  private async endStep({active, learningRate, start, lossSum, batches}: BegunStep): Promise<void> {
    const {meter, blocks, optimizer, evaluateEvery} = this.options;
    const peak = meter.peak();
    this.begun = null;
    this.stateBytes = Math.max(this.stateBytes, optimizer.stateBytes);
    this.recordStep({
      step: this.steps.length + 1,
      loss: lossSum / batches,
      learningRate,
      blocks: blocks.flatMap(({name}, i) => (active[i] ? [name] : [])),
      seconds: (performance.now() - start) / 1000,
      peakBytes: peak,
    });
    if (this.steps.length % evaluateEvery === 0) await this.evaluate();
  }

  private recordOf({loss, learningRate, blocks, peakBytes}: Omit<StepEntry, 'event'>): StepRecord {
    const active = this.options.blocks.map(({name}) => blocks.includes(name));
    return {loss, learningRate, active, peak: peakBytes};
  }

  private async evaluate(): Promise<void> {
    const step = this.steps.length;
    if (this.heldOut.at(-1)?.step === step) return;
    const loss = await this.options.evaluate((part) =>
      this.progress?.update(step, `held-out loss, ${part}`),
    );
    if (loss !== null) this.recordHeldOut({step, loss});
  }
}

function isTrainable(variable: string): boolean {
  return tf.engine().registeredVariables[variable]!.trainable;
}

/** With more blocks than this, their number is shown in place of a square for each. */
const MAX_SQUARES = 16;

/** `loss 2.913  lr 1.2e-3  ■□■■□□■□  377 MB`: the squares are the blocks, filled where they trained. */
function describe({loss, learningRate, active, peak}: StepRecord): string {
  const on = active.filter(Boolean).length;
  const blocks =
    active.length > MAX_SQUARES
      ? `${on} of ${active.length} blocks`
      : active.map((isOn) => (isOn ? '■' : '□')).join('');
  const megabytes = (peak / 1e6).toFixed(0);
  return `loss ${loss.toFixed(3)}  lr ${learningRate.toExponential(1)}  ${blocks}  ${megabytes} MB`;
}
