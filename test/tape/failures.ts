import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {Recording} from '../../src/tape/recording';

/** The points of a run at which something can go wrong, of which one does. */
export class FailurePoints {
  private passed = 0;

  constructor(private readonly failing: number) {}

  /** Whether the failing point was reached. */
  get reached(): boolean {
    return this.passed > this.failing;
  }

  pass(): void {
    if (this.passed++ === this.failing) throw new InjectedError();
  }
}

export class InjectedError extends Error {}

/** Runs `body` while every kernel of a backend and every gradient function has a point before it. */
export function withFailures<T>(backend: string, points: FailurePoints, body: () => T): T {
  const restore: Array<() => void> = [];
  const before = <F extends (...args: never[]) => unknown>(f: F): F =>
    ((...args: never[]) => {
      points.pass();
      return f(...args);
    }) as F;
  for (const kernel of tf.getKernelsForBackend(backend)) {
    const {kernelFunc} = kernel;
    kernel.kernelFunc = before(kernelFunc);
    restore.push(() => (kernel.kernelFunc = kernelFunc));
    const gradient = tf.getGradient(kernel.kernelName);
    if (!gradient) continue;
    const {gradFunc} = gradient;
    gradient.gradFunc = before(gradFunc);
    restore.push(() => (gradient.gradFunc = gradFunc));
  }
  try {
    return body();
  } finally {
    restore.forEach((undo) => {
      undo();
    });
  }
}

/** All global state that the tape changes while it runs. */
export function globalState(): Record<string, unknown> {
  const engine = tf.engine() as unknown as {
    runKernelFunc: unknown;
    gradients: unknown;
    state: Record<string, unknown> & {scopeStack: unknown[]};
  };
  const {kernelDepth, gradientDepth, activeTape, activeScope, scopeStack} = engine.state;
  return {
    ownProperties: Object.keys(engine).sort(),
    runKernelFunc: engine.runKernelFunc,
    gradients: engine.gradients,
    kernelDepth,
    gradientDepth,
    activeTape,
    activeScope,
    scopes: scopeStack.length,
    recording: Recording.active,
    random: Math.random,
    assign: tf.Variable.prototype.assign,
    apply: tfl.layers.Layer.prototype.apply,
  };
}
