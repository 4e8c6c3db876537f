import {
  AbsentError,
  Contender,
  type ContenderOptions,
  type PeakMemory,
  type Step,
} from './contender';
import {median} from './statistics';

/** The measurements of one contender. */
export interface Measured {
  title: string;
  parameters: number;
  versions: Record<string, string>;
  /** Median of a step, without the warm-up. */
  milliseconds: number;
  /** Milliseconds of each of these steps. */
  times: number[];
  /** Processors that its steps kept busy: 1 for one thread. Null where the system does not tell. */
  processors: number | null;
  /** The same while it waited for the others: if not near 0, it disturbed them. */
  processorsWaiting: number | null;
  memory: PeakMemory;
  /** Of all steps, those of the warm-up as well. */
  losses: number[];
}

export interface InterleavedRun<Name extends string> {
  measured: Partial<Record<Name, Measured>>;
  /** A line for each contender that is not among them, which says why; with {@link FAILED} unless this machine lacks something. */
  missing: string[];
}

export const FAILED = 'failed: ';

/**
 * Lets trainings take turns, a few steps in each round, so that a busy machine is equally busy for all. Their processes run until
 * the end. One that fails drops out, and the others go on.
 */
export async function runInterleaved<Name extends string>(
  contenders: Readonly<Record<Name, ContenderOptions>>,
  rounds: number,
): Promise<InterleavedRun<Name>> {
  const runners = new Map<Name, Runner>();
  const measured: Partial<Record<Name, Measured>> = {};
  const missing: string[] = [];
  const tryTo = async (name: Name, act: () => Promise<void>): Promise<void> => {
    try {
      await act();
    } catch (error) {
      runners.get(name)?.end();
      runners.delete(name);
      const {message} = error as Error;
      const isAbsent = error instanceof AbsentError;
      missing.push(isAbsent ? message : FAILED + message);
      if (!isAbsent) console.error(missing.at(-1));
    }
  };
  try {
    for (const [name, options] of Object.entries(contenders) as Array<[Name, ContenderOptions]>) {
      await tryTo(name, async () => {
        const runner = new Runner(await Contender.start(options));
        runners.set(name, runner);
        await runner.warmUp();
      });
    }
    for (const runner of runners.values()) runner.startClock();
    for (let round = 0; round < rounds; round++) {
      for (const [name, runner] of runners) await tryTo(name, () => runner.turn());
    }
    for (const [name, runner] of runners) {
      await tryTo(name, async () => void (measured[name] = await runner.result()));
    }
  } finally {
    for (const runner of runners.values()) runner.end();
  }
  return {measured, missing};
}

/** A contender and its steps. */
class Runner {
  private readonly losses: number[] = [];
  private readonly steps: Step[] = [];
  private readonly clock = {milliseconds: 0, cpu: 0};

  constructor(private readonly contender: Contender) {}

  async warmUp(): Promise<void> {
    for (let i = 0; i < this.contender.options.warmUp; i++) await this.step();
  }

  /** From now on waiting counts. */
  startClock(): void {
    Object.assign(this.clock, this.now());
  }

  async turn(): Promise<void> {
    for (let i = 0; i < this.contender.options.steps; i++) this.steps.push(await this.step());
  }

  async result(): Promise<Measured> {
    const {losses, steps, clock, contender} = this;
    const times = steps.map(({milliseconds}) => milliseconds);
    const [time, cpu] = [sum(times), sum(steps.map(({cpu}) => cpu))];
    const now = this.now();
    const waiting = now.milliseconds - clock.milliseconds - time;
    return {
      title: contender.options.title,
      ...contender.about,
      milliseconds: median(times),
      times,
      processors: told(cpu / time),
      processorsWaiting: told((now.cpu - clock.cpu - cpu) / waiting),
      memory: await contender.peakMemory(),
      losses,
    };
  }

  end(): void {
    this.contender.end();
  }

  private async step(): Promise<Step> {
    const step = await this.contender.step();
    this.losses.push(step.loss);
    return step;
  }

  private now(): {milliseconds: number; cpu: number} {
    return {milliseconds: performance.now(), cpu: this.contender.cpuMilliseconds()};
  }
}

function told(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
