import {Step} from '../../src/optim/step';

/**
 * How long the optimizer's own part of a step takes: from the moment when a gradient is there (its norm for `nonFinite`, its
 * projection and, where one is due, its new basis) to the moved weights. Good on backends that do their work before an op
 * returns, as wasm and tensorflow do.
 */
export class OptimizerClock {
  private milliseconds = 0;
  private readonly original = {take: Step.prototype.take, finish: Step.prototype.finish};

  /** Starts to watch all optimizers of this process. */
  constructor() {
    const {take, finish} = this.original;
    const timed = (act: () => void): void => {
      const start = performance.now();
      act();
      this.milliseconds += performance.now() - start;
    };
    Step.prototype.take = function (...args) {
      timed(() => take.apply(this, args));
    };
    Step.prototype.finish = function () {
      timed(() => finish.apply(this));
    };
  }

  /** Milliseconds of a step, and of the optimizer in it. */
  async time(step: () => Promise<unknown>): Promise<StepTime> {
    this.milliseconds = 0;
    const start = performance.now();
    await step();
    return {step: performance.now() - start, optimizer: this.milliseconds};
  }

  stop(): void {
    Object.assign(Step.prototype, this.original);
  }
}

export interface StepTime {
  step: number;
  optimizer: number;
}
