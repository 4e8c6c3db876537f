import * as tf from '@tensorflow/tfjs-core';
import {display} from '../../../common/options';
import {isOnCurrentBackend} from '../../../tfjs/engine';

/** A tensor with the name under which a model file keeps it. */
export type NamedTensor = Awaited<ReturnType<tf.Optimizer['getWeights']>>[number];

/** The variable called `name`, if there is one. */
export function registeredVariable(name: string): tf.Variable | undefined {
  return tf.engine().registeredVariables[name];
}

/**
 * Pairs gradients with their variables; leaves out variables without a gradient. Throws for an unknown name, a name that occurs
 * twice, and a gradient that does not fit its variable.
 */
export function pairWithVariables(
  gradients: tf.NamedTensorMap | NamedTensor[],
): Array<[variable: tf.Variable, gradient: tf.Tensor]> {
  if (typeof gradients !== 'object' || gradients === null) {
    throw new Error(
      `OwLoreOptimizer: gradients must be a map by name or an array of {name, tensor}; got ${display(gradients)}`,
    );
  }
  const pairs: Array<[string, tf.Tensor | null | undefined]> = Array.isArray(gradients)
    ? gradients.map(({name, tensor}) => [name, tensor])
    : Object.entries(gradients);
  const names = new Set<string>();
  return pairs.flatMap(([name, gradient]) => {
    if (!gradient) return [];
    const variable = registeredVariable(name);
    if (!variable) {
      throw new Error(
        `OwLoreOptimizer: no variable is called '${name}'; gradients go by the names of tf.Variables`,
      );
    }
    if (names.has(name)) {
      throw new Error(`OwLoreOptimizer: there are two gradients of '${name}'; add them up first`);
    }
    names.add(name);
    checkGradient(variable, gradient);
    return [[variable, gradient]];
  });
}

/** The names in a map or an array of gradients, including names whose gradient is missing. */
export function namesOf(gradients: tf.NamedTensorMap | NamedTensor[]): string[] {
  return Array.isArray(gradients) ? gradients.map(({name}) => name) : Object.keys(gradients);
}

/** Throws unless a tensor can be the gradient of a variable: kernels rely on it, because they take sizes from the variable. */
function checkGradient(variable: tf.Variable, gradient: tf.Tensor): void {
  const {name, shape, dtype} = variable;
  const fail = (what: string): never => {
    throw new Error(
      `OwLoreOptimizer: the gradient of '${name}' ${what}; nothing was changed. It must be a float32 tensor of the variable's ` +
        `shape [${shape}], such as tf.variableGrads gives`,
    );
  };
  if (!(gradient instanceof tf.Tensor)) fail(`is no tensor but ${display(gradient)}`);
  if (gradient.isDisposed) fail('is disposed');
  if (gradient.dtype !== 'float32') fail(`is ${gradient.dtype}`);
  if (dtype !== 'float32') fail(`has a variable that is ${dtype}, which no gradient moves`);
  if (!tf.util.arraysEqual(gradient.shape, shape)) fail(`has the shape [${gradient.shape}]`);
  if (!isOnCurrentBackend(gradient)) {
    fail(`is on another backend than '${tf.getBackend()}', which is to make the step`);
  }
}

/** The given variables, or all that exist. */
export function allVariables(variables?: readonly tf.Variable[]): readonly tf.Variable[] {
  return variables ?? Object.values(tf.engine().registeredVariables);
}

/** The variables that a step may move: the trainable ones of `variables`, by default of all. Throws if there are none. */
export function trainableVariables(variables?: readonly tf.Variable[]): tf.Variable[] {
  const all = allVariables(variables);
  for (const variable of all) {
    if (variable instanceof tf.Variable && !variable.isDisposed) continue;
    const got =
      variable instanceof tf.Variable ? `'${variable.name}', disposed` : display(variable);
    throw new Error(
      `OwLoreOptimizer: varList must have tf.Variables that are not disposed; got ${got}`,
    );
  }
  const trainable = all.filter((variable) => variable.trainable);
  if (trainable.length > 0) return trainable;
  throw new Error(
    `OwLoreOptimizer: none of the ${all.length} variables is trainable; leave something on (alwaysOn of ` +
      'LayerSamplingCallback, or layer.trainable = true)',
  );
}
