import {Step} from '../../src/owlore/optimizer/step/step';

/**
 * How long the optimizer's own part of a step takes: from the moment when a gradient is there (its norm for `nonFinite`, its
 * projection and, where one is due, its new basis) to the moved weights. Good on backends that do their work before an op
 * returns, as wasm and tensorflow do.
 */
export class OptimizerClock {
  private milliseconds = 0;
  private readonly original = {
    project: Step.prototype.project,
    check: Step.prototype.check,
    apply: Step.prototype.apply,
  };

  /** Starts to watch all optimizers of this process. */
  constructor() {
    const {project, check, apply} = this.original;
    const timed = <T>(act: () => T): T => {
      const start = performance.now();
      const result = act();
      this.milliseconds += performance.now() - start;
      return result;
    };
    Step.prototype.project = function (...args) {
      timed(() => project.apply(this, args));
    };
    Step.prototype.check = function () {
      return timed(() => check.apply(this));
    };
    Step.prototype.apply = function () {
      timed(() => apply.apply(this));
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
