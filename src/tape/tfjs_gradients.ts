import * as tf from '@tensorflow/tfjs-core';
import {checkArgument} from '../common/options';
import {isInGradient, isKnownEngine, tidy, withGradients} from '../tfjs/engine';
import {engineGradients, keeping, streamGradients} from './gradients';

/**
 * Runs `f` and hands out the gradient of each trainable variable as soon as it is final.
 *
 * @param varList Default: all variables. Those that are not trainable are left out.
 * @param onGradient Becomes the owner of each gradient.
 * @param factoredAxis For a variable whose gradient may be a `FactoredGradient`: the axis of its rows. Default: for none.
 * @returns The value of `f`, for the caller to dispose.
 * @throws as `tf.variableGrads` does.
 */
export function streamVariableGrads(
  f: () => tf.Scalar,
  varList: tf.Variable[] | undefined,
  onGradient: (variable: tf.Variable, gradient: tf.Tensor) => void,
  factoredAxis: (variable: tf.Variable) => 0 | 1 | undefined = () => undefined,
): tf.Scalar {
  const {assert} = tf.util;
  const variables = varList ?? Object.values(tf.engine().registeredVariables);
  const trainable = variables.filter((variable) => variable.trainable);
  if (!canRecord()) {
    return tf.tidy(() => {
      const {value, grads} = tf.variableGrads(f, variables);
      for (const variable of trainable) {
        const gradient = grads[variable.name];
        if (gradient) onGradient(variable, gradient);
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
  return tidy('gradients', () => {
    let connected = false;
    const factoredAxes = new Map(
      trainable.map((variable) => [variable.id, factoredAxis(variable)]),
    );
    const take = (index: number, gradient: tf.Tensor): void => {
      connected = true;
      onGradient(trainable[index]!, gradient);
    };
    const value = streamGradients(scalar, trainable, take, {factoredAxes});
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
 * Whether this tape can replace the stock one: not inside a gradient of the stock tape, where both would have to record, nor on
 * an engine that is built differently.
 */
function canRecord(): boolean {
  return isKnownEngine() && !isInGradient();
}

/**
 * `tf.variableGrads` on this tape: the same arguments, result and errors, less memory. Gradients and value are the
 * caller's to dispose.
 */
export function variableGrads(
  f: () => tf.Scalar,
  varList?: tf.Variable[],
): {value: tf.Scalar; grads: tf.NamedTensorMap} {
  checkArgument(
    'variableGrads',
    'f',
    f,
    'a function that returns a scalar',
    typeof f === 'function',
  );
  checkArgument(
    'variableGrads',
    'varList',
    varList,
    "a list of tf.Variables (a layer's weight gives its own by `read()`)",
    varList == null ||
      (Array.isArray(varList) && varList.every((variable) => variable instanceof tf.Variable)),
  );
  const computed = new Map<string, tf.Tensor>();
  const value = keeping((keep) =>
    streamVariableGrads(f, varList, ({name}, gradient) => {
      computed.set(name, keep(gradient));
    }),
  );
  // in the variables' order: by the place in it tfjs's optimizers find their state
  const grads: Record<string, tf.Tensor | null> = {};
  for (const {name} of varList ?? Object.values(tf.engine().registeredVariables)) {
    const gradient = computed.get(name);
    if (gradient) grads[name] = gradient;
  }
  for (const {name, trainable} of varList ?? []) if (!trainable) grads[name] = null;
  return {value, grads: grads as tf.NamedTensorMap};
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
    canRecord() ? withGradients(engineGradients, () => onEngine(args, dy)) : onEngine(args, dy);
}
