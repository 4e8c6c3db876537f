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
  read(dataId: object): Promise<tf.backend_util.BackendValues>;
  readSync(dataId: object): tf.backend_util.BackendValues;
  readToGPU(dataId: object, options: object): tf.GPUData;
  tidy<T>(name: string, body: () => T): T;
  state: EngineState;
}

interface EngineState {
  /** Gradients that are being computed, one in the other. */
  gradientDepth: number;
  /** Kernels that are running, one in the other; the stock tape does not record while this is above 0. */
  kernelDepth: number;
  activeTape: unknown[] | null;
  /** By data id; those of data that is gone are not there. */
  tensorInfo: WeakMap<object, unknown>;
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

/**
 * Whether the engine is built as the tape knows it. The first time that it is not, a warning says what follows from that:
 * gradients come from tfjs's own tape, which holds more.
 */
export function isKnownEngine(): boolean {
  const engine = engineInternals();
  const {state} = engine;
  const isKnown =
    methods.every((name) => typeof engine[name] === 'function') &&
    typeof state?.gradientDepth === 'number' &&
    typeof state.kernelDepth === 'number';
  if (!isKnown && !hasWarned) {
    hasWarned = true;
    console.warn(
      `tfjs-owlore: tfjs-core ${tf.version_core} is built otherwise than 4.22, which this library knows; gradients are ` +
        "computed by tfjs's own tape, with the memory that it takes, and without checkpoints",
    );
  }
  return isKnown;
}

/** Methods of the engine that the tape calls or takes the place of. */
const methods = [
  'runKernelFunc',
  'gradients',
  'keep',
  'nextTensorId',
  'track',
  'incRef',
  'read',
  'readSync',
  'readToGPU',
  'tidy',
] as const;

let hasWarned = false;
