/** What a run has told so far: the numbers behind every chart. */
import type {
  FineTuning,
  HistoryEntry,
  Outcome,
  PeriodEvent,
  RateEvent,
  RunInfo,
  SampleTextEvent,
  StepEvent,
} from './library';

const SMOOTHED_STEPS = 10; // whose losses the moving average has, about

export class RunLog {
  info: RunInfo | null = null;
  /** Those that there were, by their number less one; one that was taken again after a break is there once. */
  readonly steps: StepEvent[] = [];
  /** The moving average of the losses, as long as `steps`. */
  readonly smoothed: number[] = [];
  readonly heldOut: {step: number; loss: number}[] = [];
  readonly samples: SampleTextEvent[] = [];
  readonly periods: PeriodEvent[] = [];
  /** Of each block, in how many steps it trained. */
  readonly stepsTrained: number[] = [];
  private rateSet: RateEvent | null = null;
  outcome: Outcome | null = null;
  /** Whether there is a checkpoint, from which it can go on. */
  isSaved = false;
  /** Whether the page has asked for no more steps. */
  isStopping = false;
  /** When the last step, or a break, ended. */
  private endedAt = 0;
  /** How long the held-out loss took to be measured, the last time. */
  private heldOutSeconds = 0;

  /**
   * @param run Null: the log stays empty.
   * @param onChange Called after each event.
   */
  constructor(run: FineTuning | null, onChange: () => void = () => undefined) {
    run
      ?.on('ready', (info) => {
        this.info = info;
        this.endedAt = performance.now();
        this.isSaved = info.step > 0;
        for (const entry of info.history) this.add(entry);
        onChange();
      })
      .on('step', (data) => {
        this.endedAt = performance.now();
        this.add({event: 'step', data});
        onChange();
      })
      .on('resumed', () => {
        this.endedAt = performance.now();
      })
      .on('heldOut', (data) => {
        if (data.step === (this.last?.step ?? 0))
          this.heldOutSeconds = (performance.now() - this.endedAt) / 1000;
        this.add({event: 'heldOut', data});
        onChange();
      })
      .on('sample', (data) => {
        this.add({event: 'sample', data});
        onChange();
      })
      .on('period', (data) => {
        this.add({event: 'period', data});
        onChange();
      })
      .on('rate', (data) => {
        this.add({event: 'rate', data});
        onChange();
      })
      .on('checkpoint', () => {
        this.isSaved = true;
      })
      .on('done', (outcome) => {
        this.outcome = outcome;
        onChange();
      });
  }

  get last(): StepEvent | undefined {
    return this.steps.at(-1);
  }

  /** The learning rate that was set for the next step, if there is to be one, or else that of the last; undefined before there is any. */
  get rate(): number | undefined {
    const {last, rateSet, outcome} = this;
    const isSet = rateSet !== null && outcome === null && rateSet.step > (last?.step ?? 0);
    return (isSet ? rateSet : last)?.learningRate;
  }

  /** The period that a step is in. */
  periodOf(step: number): PeriodEvent | undefined {
    return this.periods.filter((period) => period.step <= step).at(-1);
  }

  /** Tokens a second, over the last ten steps. */
  get speed(): number | null {
    const recent = this.steps.slice(-10);
    const seconds = sum(recent.map((step) => step.seconds));
    return seconds > 0 ? sum(recent.map(({tokens}) => tokens)) / seconds : null;
  }

  /** Seconds that the rest of the run takes, as the last steps and the last held-out loss did; null where nobody knows. */
  get secondsLeft(): number | null {
    if (this.isStopping) return 0;
    const recent = this.steps.slice(-20);
    if (recent.length === 0 || !this.info) return null;
    const each = sum(recent.map(({seconds}) => seconds)) / recent.length;
    const left = this.info.steps - this.last!.step;
    return each * left + this.heldOutSeconds * Math.ceil(left / this.heldOutEvery);
  }

  /** Steps from one held-out loss to the next. */
  private get heldOutEvery(): number {
    const [last, before] = this.heldOut.slice(-2).reverse();
    return last && before ? last.step - before.step : Math.ceil(this.info!.steps / 10);
  }

  private add(entry: HistoryEntry): void {
    if (entry.event === 'step') this.addStep(entry.data);
    else if (entry.event === 'heldOut') replaceFrom(this.heldOut, entry.data);
    else if (entry.event === 'sample') this.addSample(entry.data);
    else if (entry.event === 'period') replaceFrom(this.periods, entry.data);
    else this.rateSet = entry.data;
  }

  private addStep(step: StepEvent): void {
    while (this.steps.length > 0 && this.last!.step >= step.step) this.removeLast();
    const before = this.smoothed.at(-1) ?? step.loss;
    const isUsable = Number.isFinite(step.loss);
    // of the first ones it is the mean
    const weight = 1 / Math.min(this.smoothed.length + 1, SMOOTHED_STEPS);
    this.smoothed.push(isUsable ? before + weight * (step.loss - before) : before);
    this.steps.push(step);
    for (const block of step.blocks) this.stepsTrained[block] = this.trained(block) + 1;
  }

  /** A step has one sample for each prompt. */
  private addSample(sample: SampleTextEvent): void {
    const {step, prompt} = sample;
    const isAgain = this.samples.some((other) => other.step === step && other.prompt === prompt);
    removeFrom(this.samples, isAgain ? step : step + 1);
    this.samples.push(sample);
  }

  private removeLast(): void {
    this.smoothed.pop();
    for (const block of this.steps.pop()!.blocks)
      this.stepsTrained[block] = this.trained(block) - 1;
  }

  private trained(block: number): number {
    return this.stepsTrained[block] ?? 0;
  }
}

/** Adds what was told of a step in the place of what was told of it, and of later ones, before. */
function replaceFrom<T extends {step: number}>(list: T[], item: T): void {
  removeFrom(list, item.step);
  list.push(item);
}

function removeFrom(list: {step: number}[], step: number): void {
  while (list.length > 0 && list.at(-1)!.step >= step) list.pop();
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
