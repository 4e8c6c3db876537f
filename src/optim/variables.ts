import * as tf from '@tensorflow/tfjs-core';
import type {NamedTensor} from './checkpoint';

/** A variable and the gradient that a step brings for it. */
export interface Update {
  variable: tf.Variable;
  gradient: tf.Tensor;
}

/** The variable called `name`, if there is one. */
export function registeredVariable(name: string): tf.Variable | undefined {
  return tf.engine().registeredVariables[name];
}

/** Pairs gradients with their variables; leaves out variables without a gradient. Throws for an unknown name. */
export function pairWithVariables(gradients: tf.NamedTensorMap | NamedTensor[]): Update[] {
  const pairs: Array<[string, tf.Tensor | null | undefined]> = Array.isArray(gradients)
    ? gradients.map(({name, tensor}) => [name, tensor])
    : Object.entries(gradients);
  return pairs.flatMap(([name, gradient]) => {
    if (!gradient) return [];
    const variable = registeredVariable(name);
    if (variable) return [{variable, gradient}];
    throw new Error(
      `OwLoreOptimizer: no variable is called '${name}'; gradients go by the names of tf.Variables`,
    );
  });
}

/** The variables that a step may move: of `variables`, or of all, those that are trainable. Throws if there are none. */
export function trainableVariables(variables?: readonly tf.Variable[]): tf.Variable[] {
  const all = variables ?? Object.values(tf.engine().registeredVariables);
  const trainable = all.filter((variable) => variable.trainable);
  if (trainable.length > 0) return trainable;
  throw new Error(
    `OwLoreOptimizer: none of the ${all.length} variables is trainable; leave something on (alwaysOn of ` +
      'LayerSamplingCallback, or layer.trainable = true)',
  );
}
