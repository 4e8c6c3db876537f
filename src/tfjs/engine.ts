/**
 * The insides of tfjs-core's engine, seen in 4.22: how ops run, what its own tape records, and who owns a tensor's data.
 *
 * Its methods keep their names in minified bundles, and two copies of tfjs-core share one engine through `globalThis`. On an
 * engine that is built differently `isKnownEngine` is false, and the tape leaves the gradients to tfjs. Everything else here then
 * throws an error with the name of the method that is missing.
 */
import * as tf from '@tensorflow/tfjs-core';
import {replaceMethods, withMethods} from './methods';

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

/** Runs an op. */
export type RunOp = (call: OpCall) => tf.Tensor | tf.Tensor[];

/** The engine's `gradients`, on which `tf.grad`, `tf.valueAndGrads`, `tf.variableGrads` and others are built. */
export type Gradients = <T extends tf.Tensor>(
  f: () => T,
  xs: tf.Tensor[],
  dy?: tf.Tensor | null,
  allowNoGradients?: boolean,
) => {value: T; grads: Array<tf.Tensor | null>};

/** The members of the engine that are used here, most of which tfjs-core declares private. */
interface Engine {
  runKernelFunc: RunOp;
  gradients: Gradients;
  keep<T extends tf.Tensor>(tensor: T): T;
  nextTensorId(): number;
  /** Gives `tensor` to the present scope, which disposes of it at its end. */
  track(tensor: tf.Tensor): void;
  /** Counts `tensor` as one more owner of its data. */
  incRef(tensor: tf.Tensor, backend: object | null): void;
  /** Counts `tensor`, and its data if they are new. */
  trackTensor(tensor: tf.Tensor, backend: object | null): void;
  /** Forgets data that have no owner any more. */
  removeDataId(dataId: object, backend: object): void;
  read(dataId: object): Promise<tf.backend_util.BackendValues>;
  readSync(dataId: object): tf.backend_util.BackendValues;
  readToGPU(dataId: object, options: object): tf.GPUData;
  tidy<T>(name: string, body: () => T): T;
  state: EngineState;
  backendName: string;
  backendInstance: object | null;
  /** While a backend is being made. */
  pendingBackendInit: Promise<boolean> | undefined;
}

interface EngineState {
  /** Gradients that are being computed, one in the other. */
  gradientDepth: number;
  /** Kernels that are running, one in the other; the stock tape does not record while this is above 0. */
  kernelDepth: number;
  /** The scopes that are open, the innermost one last. */
  scopeStack: Array<{name: string}>;
  /** By data id; those of data that are gone are not there. */
  tensorInfo: WeakMap<object, {backend: object}>;
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

/** The engine. Its `state` is replaced by `tf.engine().reset()`: read it afresh. */
function theEngine(): Engine {
  // tfjs declares these members private; `isKnownEngine` looks whether they are there.
  return tf.engine() as unknown as Engine;
}

/** One line a process; nothing below this folder could say it once. */
let hasWarned = false;

/**
 * Whether the engine is built as the tape knows it. The first time that it is not, a warning says what follows from that:
 * gradients come from tfjs's own tape, which holds more.
 */
export function isKnownEngine(): boolean {
  const engine = theEngine();
  const {state} = engine;
  const isKnown =
    methods.every((name) => typeof engine[name] === 'function') &&
    typeof state?.gradientDepth === 'number' &&
    typeof state.kernelDepth === 'number' &&
    typeof state.tensorInfo?.has === 'function';
  if (!isKnown && !hasWarned) {
    hasWarned = true;
    console.warn(
      `tfjs-owlore: tfjs-core ${tf.version_core} is built otherwise than 4.22; gradients are computed by ` +
        "tfjs's own tape, and nothing is recomputed",
    );
  }
  return isKnown;
}

/**
 * Runs `body` and passes each of its ops to `intercept`, together with the function that ran ops before. No op is missed: every
 * kernel and every custom gradient calls the engine's `runKernelFunc`, also those inside of another op.
 */
export function interceptOps<T>(
  intercept: (call: OpCall, run: RunOp) => tf.Tensor | tf.Tensor[],
  body: () => T,
): T {
  const engine = theEngine();
  const {runKernelFunc} = engine;
  const run: RunOp = (call) => runKernelFunc.call(engine, call);
  return withMethods(engine, {runKernelFunc: (call) => intercept(call, run)}, body);
}

/** How many ops are running, one in the other. */
export function opDepth(): number {
  return theEngine().state.kernelDepth;
}

/** Whether a function is running whose gradient is being taken, by tfjs's own tape or by that of this library. */
export function isInGradient(): boolean {
  return theEngine().state.gradientDepth > 0;
}

/** Runs `body` as if it were inside of an op, so that the stock tape does not record it. */
export function insideOfOp<T>(body: () => T): T {
  const {state} = theEngine();
  state.kernelDepth++;
  try {
    return body();
  } finally {
    state.kernelDepth--;
  }
}

/**
 * Runs `body` as a function whose gradient is taken. Ops ask whether they are in one: a fused op may otherwise take a path
 * that has no gradient. Afterwards, also after an error, both depths are what they were.
 */
export function insideOfGradient<T>(body: () => T): T {
  const {state} = theEngine();
  const {kernelDepth, gradientDepth} = state;
  state.gradientDepth++;
  try {
    return body();
  } finally {
    Object.assign(state, {kernelDepth, gradientDepth});
  }
}

/** Runs `body` with `gradients` in the place of the engine's own: `tf.grad` and similar functions are computed by it. */
export function withGradients<T>(gradients: Gradients, body: () => T): T {
  return withMethods(theEngine(), {gradients}, body);
}

/** `tf.tidy`, of a function that may return anything. */
export function tidy<T>(name: string, body: () => T): T {
  return theEngine().tidy(name, body);
}

/** A tensor over data that the current backend has made, which belongs to the present scope. */
export function makeTensor(info: tf.TensorInfo): tf.Tensor {
  return tf.engine().makeTensorFromTensorInfo(info);
}

/** Whether what runs now is in a `tidy` of this name. */
export function isInScope(name: string): boolean {
  return theEngine().state.scopeStack.some((scope) => scope.name === name);
}

/** A number that is above the ids of all tensors so far, and below those of all that will be made. */
export function nextTensorId(): number {
  return theEngine().nextTensorId();
}

/**
 * Runs `body` and reports all uses of data that are not made by an op: a tensor over them is kept, or becomes a variable's value,
 * or the host reads them.
 */
export function watchDataUses<T>(onUse: (dataId: object) => void, body: () => T): T {
  const engine = theEngine();
  const {keep, incRef, read, readSync, readToGPU} = engine;
  const watching: Partial<Engine> = {
    keep(tensor) {
      onUse(tensor.dataId);
      return keep.call(engine, tensor) as typeof tensor;
    },
    // A variable takes the data of a tensor.
    incRef(tensor, backend) {
      onUse(tensor.dataId);
      incRef.call(engine, tensor, backend);
    },
    read(dataId) {
      onUse(dataId);
      return read.call(engine, dataId);
    },
    readSync(dataId) {
      onUse(dataId);
      return readSync.call(engine, dataId);
    },
    readToGPU(dataId, options) {
      onUse(dataId);
      return readToGPU.call(engine, dataId, options);
    },
  };
  return withMethods(engine, watching, body);
}

/** What {@link watchData} tells of. */
export interface DataEvents {
  /** The engine has counted a tensor, the first one over its data or a further one. */
  onTensor(tensor: tf.Tensor): void;
  /** The last owner of the data was disposed of, and the data are gone. */
  onFree(dataId: object): void;
}

/**
 * Tells of all data that the engine makes and frees from now on.
 *
 * @returns A function that ends that.
 */
export function watchData({onTensor, onFree}: DataEvents): () => void {
  const engine = theEngine();
  const {trackTensor, removeDataId} = engine;
  return replaceMethods(engine, {
    trackTensor(tensor, backend) {
      trackTensor.call(engine, tensor, backend);
      onTensor(tensor);
    },
    removeDataId(dataId, backend) {
      removeDataId.call(engine, dataId, backend);
      onFree(dataId);
    },
  });
}

/** Whether data are there, on any backend. */
export function hasData(dataId: object): boolean {
  return theEngine().state.tensorInfo.has(dataId);
}

/** Whether the data of a tensor are on the current backend. */
export function isOnCurrentBackend({dataId}: tf.Tensor): boolean {
  return theEngine().state.tensorInfo.get(dataId)?.backend === tf.backend();
}

/**
 * A kept tensor over the data of another one, which it keeps alive. It is made in the way in which a `tf.Variable` takes the
 * data of its value, and so without a copy on any backend. (A clone copies on wasm, a reshape on tensorflow.)
 */
export function shareData({shape, dtype, dataId}: tf.Tensor): tf.Tensor {
  const engine = theEngine();
  const shared = engine.keep(new tf.Tensor(shape, dtype, dataId, engine.nextTensorId()));
  engine.incRef(shared, null);
  return shared;
}

/**
 * Frees the data of a variable, which stays registered under its name; `assign` gives it others. Until then no op can read it.
 */
export function releaseData(variable: tf.Variable): void {
  tf.engine().disposeTensor(variable);
  variable.dataId = noData;
}

/** Stands for a tensor of which only shape and dtype will be asked for: it has no data. */
export function shapeOnly({shape, dtype}: tf.Tensor): tf.Tensor {
  return new tf.Tensor(shape, dtype, noData, -1);
}

const noData = {};

/** Ends `tf.keep`: the tensor belongs to the surrounding tidy, as what an op returns does. */
export function releaseToScope(tensor: tf.Tensor): void {
  (tensor as {kept: boolean}).kept = false;
  theEngine().track(tensor);
}

/** Runs `body` with tensors that were disposed of, but whose data are held by others, as if they were alive. */
export function withRevived<T>(tensors: readonly tf.Tensor[], body: () => T): T {
  // tfjs-core declares the flag protected.
  const disposed = tensors.filter((tensor) => tensor.isDisposed) as unknown as Array<{
    isDisposedInternal: boolean;
  }>;
  // what `body` disposes of again is not the engine's any more
  const revived = {isDisposedInternal: false, dispose: () => undefined};
  for (const tensor of disposed) Object.assign(tensor, revived);
  try {
    return body();
  } finally {
    for (const tensor of disposed) {
      tensor.isDisposedInternal = true;
      Reflect.deleteProperty(tensor, 'dispose');
    }
  }
}

/** Runs `body` and tells of each variable that is about to be assigned to, as tfjs-layers does for BatchNorm's averages. */
export function watchAssignments<T>(onAssign: (variable: tf.Variable) => void, body: () => T): T {
  const {prototype} = tf.Variable;
  const {assign} = prototype;
  return withMethods(
    prototype,
    {
      assign(this: tf.Variable, value: tf.Tensor) {
        onAssign(this);
        assign.call(this, value);
      },
    },
    body,
  );
}

/**
 * Runs `body` with `draw` in the place of `Math.random`; `draw` is given the real one. All randomness of tfjs comes from there: a
 * random op that has no seed draws one.
 */
export function withRandom<T>(draw: (random: () => number) => number, body: () => T): T {
  const {random} = Math;
  return withMethods(Math, {random: () => draw(random)}, body);
}

/**
 * Runs `body` as on an engine of its own, where `backend` is the current one under the name `name` and there are no tensors, scopes or
 * variables yet. Afterwards all is as before, the counters of `tf.memory()` and of variables' names included; what `body` has made is
 * to be forgotten.
 */
export function onOwnEngine<T>(name: string, backend: tf.KernelBackend, body: () => T): T {
  const engine = theEngine();
  const {state, backendName, backendInstance, pendingBackendInit} = engine;
  const counters = engine.constructor as unknown as {nextVariableId: number};
  const {nextVariableId} = counters;
  Object.assign(engine, {
    state: new (state.constructor as new () => EngineState)(),
    ...{backendName: name, backendInstance: backend, pendingBackendInit: undefined},
  });
  try {
    return body();
  } finally {
    Object.assign(engine, {state, backendName, backendInstance, pendingBackendInit});
    counters.nextVariableId = nextVariableId;
  }
}

/**
 * Runs `body` with other data behind some variables, of their shapes and on the current backend. Afterwards they have theirs again,
 * whatever was assigned to them.
 */
export function withOtherData<T>(variables: readonly tf.Variable[], body: () => T): T {
  const engine = theEngine();
  const before = variables.map(({dataId}) => dataId);
  const registered = tf.engine().registeredVariables;
  for (const variable of variables) {
    variable.dataId = tf.backend().write(null!, variable.shape, variable.dtype);
    engine.trackTensor(variable, tf.backend());
    registered[variable.name] = variable;
  }
  try {
    return body();
  } finally {
    variables.forEach((variable, i) => (variable.dataId = before[i]!));
  }
}
