import * as tf from '@tensorflow/tfjs-core';

/** What one op asks the engine to run: a registered kernel, or the function of a `tf.customGrad`. */
export interface OpCall {
  kernelName?: string;
  inputs: tf.NamedTensorMap;
  attrs?: tf.NamedAttrMap;
  forwardFunc?: (backend: unknown, save: (tensors: tf.Tensor[]) => void) => unknown;
  backwardsFunc?: GradientFunction;
}

/** Gradients of an op's inputs, each to be computed when called; null for an input that no output depends on. */
export type InputGradients = Record<string, () => tf.Tensor | null>;

export type GradientFunction = (
  dy: tf.Tensor | tf.Tensor[],
  saved: tf.Tensor[],
  attrs?: tf.NamedAttrMap,
) => InputGradients;

/** The insides of tfjs-core's engine that the tape stands on (4.22). */
export interface EngineInternals {
  runKernelFunc(call: OpCall): tf.Tensor | tf.Tensor[];
  gradients: unknown;
  keep<T extends tf.Tensor>(tensor: T): T;
  nextTensorId(): number;
  /** Gives `tensor` to the present scope, which disposes of it at its end. */
  track(tensor: tf.Tensor): void;
  /** Counts `tensor` as one more owner of its data. */
  incRef(tensor: tf.Tensor, backend: null): void;
  tidy<T>(name: string, body: () => T): T;
  state: EngineState;
}

interface EngineState {
  /** Gradients that are being computed, one in the other. */
  gradientDepth: number;
  /** Kernels that are running, one in the other; the stock tape does not record while this is above 0. */
  kernelDepth: number;
  activeTape: unknown[] | null;
}

/** The engine, with its insides. Its `state` is replaced by `tf.engine().reset()`: read it afresh. */
export function engineInternals(): EngineInternals {
  // tfjs-core declares these members private.
  return tf.engine() as unknown as EngineInternals;
}

/** Runs `body` while the engine has properties of its own in the place of those that it inherits or has. */
export function withOwn<T>(
  engine: EngineInternals,
  properties: Partial<EngineInternals>,
  body: () => T,
): T {
  const keys = Object.keys(properties) as Array<keyof EngineInternals>;
  const before = new Map(keys.map((key) => [key, Object.getOwnPropertyDescriptor(engine, key)]));
  Object.assign(engine, properties);
  try {
    return body();
  } finally {
    for (const [key, own] of before) {
      if (own) Object.defineProperty(engine, key, own);
      else Reflect.deleteProperty(engine, key);
    }
  }
}

/** Whether the engine is built as the tape knows it. */
export function isKnownEngine(): boolean {
  const engine = engineInternals();
  return (
    typeof engine.runKernelFunc === 'function' &&
    typeof engine.gradients === 'function' &&
    typeof engine.state?.gradientDepth === 'number' &&
    typeof engine.state.kernelDepth === 'number'
  );
}
