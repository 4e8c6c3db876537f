import {startMemoryMeter, type MemoryMeter} from '../../src/memory/meter';
import {Training, type TrainingOptions} from './workload';

/** One of several trainings that take turns in a process, with its own bytes and times. */
export class Turns {
  readonly losses: number[] = [];
  readonly milliseconds: number[] = [];
  /** The most bytes that its steps had alive at once. */
  peak = 0;
  /** Its bytes between two steps: weights, state, and the batch. */
  atRest = 0;
  private readonly training: Training;

  constructor(
    options: TrainingOptions,
    private readonly meter: MemoryMeter,
  ) {
    const before = meter.current();
    this.training = new Training(options);
    this.atRest = meter.current() - before;
  }

  async step(): Promise<void> {
    const {meter} = this;
    const others = meter.current() - this.atRest;
    meter.reset();
    const start = performance.now();
    this.losses.push(await this.training.step());
    this.milliseconds.push(performance.now() - start);
    this.peak = Math.max(this.peak, meter.peak() - others);
    this.atRest = meter.current() - others;
  }

  dispose(): void {
    this.training.dispose();
  }
}

/**
 * Peak and bytes at rest of a single training on the current backend, from two steps of the optimizer: the first creates the state,
 * the second replaces it.
 */
export function measureAlone(options: TrainingOptions): {peak: number; atRest: number} {
  const meter = startMemoryMeter();
  const training = new Training(options);
  meter.reset();
  const {accumulate = 1} = options.optimizer ?? {};
  for (let call = 0; call < 2 * accumulate; call++) training.stepUnread();
  const figures = {peak: meter.peak(), atRest: meter.current()};
  training.dispose();
  meter.stop();
  return figures;
}
