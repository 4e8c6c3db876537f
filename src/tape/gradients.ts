import * as tf from '@tensorflow/tfjs-core';
import {backpropagate, type GradientTaker} from './backward';
import {engineInternals, isKnownEngine, withOwn} from './engine';
import {Recording} from './recording';

/**
 * Runs `f` and hands out the gradient of its result with respect to each of `xs`, one after the other, each as soon as it
 * is final; none for an x that the result does not depend on.
 *
 * @param dy Gradient of the result, of its shape; default: ones.
 * @param take Becomes the owner of each gradient.
 * @returns The value of `f`, for the caller to dispose.
 */
export function streamGradients<T extends tf.Tensor>(
  f: () => T,
  xs: readonly tf.Tensor[],
  take: GradientTaker,
  dy?: tf.Tensor,
): T {
  // On an error the value is freed as well.
  return engineInternals().tidy('gradients', () => {
    const recording = new Recording(xs);
    const y = record(recording, () => {
      const value = f();
      tf.util.assert(
        value instanceof tf.Tensor,
        () => 'The result y returned by f() must be a tensor.',
      );
      return value;
    });
    try {
      engineInternals().tidy('backward', () => {
        backpropagate(recording, xs, [{y, dy: dy ?? tf.ones(y.shape)}], take);
      });
    } finally {
      recording.holds.dispose();
    }
    return y;
  });
}

/**
 * Runs `f` on a recording, with `tf.grad` and its kin on this tape as well: the stock tape is muted meanwhile.
 */
export function record<T extends tf.TensorContainer>(recording: Recording, f: () => T): T {
  return withOwn(engineInternals(), {gradients: engineGradients}, () => recording.run(f));
}

/** All gradients of `f` with respect to `xs` at once; null for an x that the result does not depend on. */
export function collectGradients<T extends tf.Tensor>(
  f: () => T,
  xs: readonly tf.Tensor[],
  dy?: tf.Tensor,
): {value: T; grads: Array<tf.Tensor | null>} {
  const grads: Array<tf.Tensor | null> = xs.map(() => null);
  const value = keeping((keep) =>
    streamGradients(f, xs, (index, gradient) => (grads[index] = keep(gradient)), dy),
  );
  return {value, grads};
}

/**
 * Runs `body`, which keeps tensors that are made in inner scopes. In the end they belong to the surrounding scope, as what
 * an op returns does; on an error they are freed.
 */
function keeping<T>(body: (keep: (tensor: tf.Tensor) => tf.Tensor) => T): T {
  const kept: tf.Tensor[] = [];
  try {
    const result = body((tensor) => {
      kept.push(tf.keep(tensor));
      return tensor;
    });
    kept.forEach(releaseToScope);
    return result;
  } catch (error) {
    tf.dispose(kept);
    throw error;
  }
}

/** Ends `tf.keep`: the tensor belongs to the surrounding tidy, as what an op returns does. */
function releaseToScope(tensor: tf.Tensor): void {
  (tensor as {kept: boolean}).kept = false;
  engineInternals().track(tensor);
}

/**
 * The engine's `gradients`, on which `tf.grad` and its kin stand, on this tape: the same arguments, result and errors.
 */
export function engineGradients<T extends tf.Tensor>(
  f: () => T,
  xs: tf.Tensor[],
  dy?: tf.Tensor | null,
  allowNoGradients = false,
): {value: T; grads: Array<tf.Tensor | null>} {
  tf.util.assert(xs.length > 0, () => 'gradients() received an empty list of xs.');
  if (dy != null && dy.dtype !== 'float32') {
    throw new Error(`dy must have 'float32' dtype, but has '${dy.dtype}'`);
  }
  return engineInternals().tidy('gradients', () => {
    const result = collectGradients(f, xs, dy ?? undefined);
    if (!allowNoGradients && result.grads.every((gradient) => gradient === null)) {
      throw new Error(
        'Cannot compute gradient of y=f(x) with respect to x. Make sure that the f you passed encloses all operations ' +
          'that lead from x to y.',
      );
    }
    return result;
  });
}

/**
 * Runs `f` and hands out the gradient of each trainable variable as soon as it is final.
 *
 * @param varList Default: all variables. Those that are not trainable are left out.
 * @param take Becomes the owner of each gradient.
 * @returns The value of `f`, for the caller to dispose.
 * @throws as `tf.variableGrads` does.
 */
export function streamVariableGrads(
  f: () => tf.Scalar,
  varList: tf.Variable[] | undefined,
  take: (variable: tf.Variable, gradient: tf.Tensor) => void,
): tf.Scalar {
  const {assert} = tf.util;
  const variables = varList ?? Object.values(tf.engine().registeredVariables);
  const trainable = variables.filter((variable) => variable.trainable);
  if (!canRecord()) {
    return tf.tidy(() => {
      const {value, grads} = tf.variableGrads(f, variables);
      for (const variable of trainable) {
        const gradient = grads[variable.name];
        if (gradient) take(variable, gradient);
      }
      return value;
    });
  }
  assert(
    trainable.length > 0,
    () =>
      'variableGrads() expects at least one of the input variables to be trainable, but none of the ' +
      `${variables.length} variables is trainable.`,
  );
  const scalar = (): tf.Scalar => {
    const value = f();
    assert(
      !(value instanceof tf.Tensor) || value.rank === 0,
      () =>
        'The f passed in variableGrads(f) must return a scalar, but it returned a rank-' +
        `${String(value.rank)} tensor`,
    );
    return value;
  };
  return engineInternals().tidy('gradients', () => {
    let connected = false;
    const value = streamGradients(scalar, trainable, (index, gradient) => {
      connected = true;
      take(trainable[index]!, gradient);
    });
    assert(
      connected,
      () =>
        'Cannot find a connection between any variable and the result of the loss function y=f(x). Please make sure the ' +
        'operations that use variables are inside the function f passed to minimize().',
    );
    return value;
  });
}

/**
 * Whether this tape can take the stock one's place: inside of one of its gradients both would have to record, and an engine
 * of another build is not ours to touch.
 */
function canRecord(): boolean {
  return isKnownEngine() && engineInternals().state.gradientDepth === 0;
}

/**
 * `tf.variableGrads` on this tape: the same arguments, result and errors, less memory. Gradients and value are the
 * caller's to dispose.
 */
export function variableGrads(
  f: () => tf.Scalar,
  varList?: tf.Variable[],
): {value: tf.Scalar; grads: tf.NamedTensorMap} {
  const named: Record<string, tf.Tensor | null> = {};
  const value = keeping((keep) =>
    streamVariableGrads(f, varList, ({name}, gradient) => {
      named[name] = keep(gradient);
    }),
  );
  for (const {name, trainable} of varList ?? []) if (!trainable) named[name] = null;
  return {value, grads: named as tf.NamedTensorMap};
}

/**
 * `tf.valueAndGrads` on this tape: the same arguments, result and errors, less memory. Gradients and value are the caller's
 * to dispose.
 */
export function valueAndGrads<T extends tf.Tensor>(
  f: (...args: tf.Tensor[]) => T,
): (args: tf.Tensor[], dy?: T) => {grads: tf.Tensor[]; value: T} {
  const onEngine = tf.valueAndGrads(f);
  return (args, dy) =>
    canRecord()
      ? withOwn(engineInternals(), {gradients: engineGradients}, () => onEngine(args, dy))
      : onEngine(args, dy);
}
