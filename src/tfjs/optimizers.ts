/** What optimizers of tfjs-core have in common beside what they declare; seen in 4.22. */
import * as tf from '@tensorflow/tfjs-core';
import type {NamedTensor} from '@tensorflow/tfjs-core/dist/tensor_types';
import {replaceMethods} from './methods';
import {withoutNumber} from './variable_names';

/** tfjs's own optimizers. */
const tfjsOptimizers = [
  tf.AdadeltaOptimizer,
  tf.AdagradOptimizer,
  tf.AdamOptimizer,
  tf.AdamaxOptimizer,
  tf.RMSPropOptimizer,
  tf.SGDOptimizer,
];

/** Whether a value is an optimizer of this copy of tfjs-core. */
export function isOptimizer(value: unknown): boolean {
  return isOf(tf.Optimizer, value);
}

/** Whether an optimizer is one of tfjs's own: with these each call is known to add one to `iterations`. */
export function isTfjsOptimizer(optimizer: tf.Optimizer): boolean {
  return tfjsOptimizers.some((known) => isOf(known, optimizer));
}

/** Those that {@link keepStateByName} has changed. */
const byName = new WeakSet<tf.Optimizer>();

/**
 * Has one of tfjs's own optimizers find the state of a variable by its name. It keeps it by the position among the gradients that it is
 * given, and without a list of variables `minimize` gives it those alone that are trainable now. From then on it is given all variables
 * that it has state of, in that order, with null for what is frozen; it leaves those as they are.
 */
export function keepStateByName(optimizer: tf.Optimizer): void {
  if (byName.has(optimizer) || !isTfjsOptimizer(optimizer)) return;
  byName.add(optimizer);
  const {applyGradients} = optimizer;
  /** The variables, by the names that their state has. */
  const variables = new Map<string, string>();
  replaceMethods(optimizer, {
    applyGradients(gradients) {
      const given = new Map(
        Array.isArray(gradients)
          ? gradients.map(({name, tensor}) => [name, tensor])
          : Object.entries(gradients),
      );
      const names = namesOfState(optimizer);
      findOwners(variables, names, [...given.keys()]);
      const list = [...new Set([...names, ...variables.keys()])].map((state) => {
        const name = variables.get(state) ?? state;
        return {name, tensor: given.get(name) ?? null};
      });
      applyGradients.call(optimizer, list as NamedTensor[]);
    },
  });
}

/**
 * Adds the variables called `given` to those whose state is known, by its names. State that was loaded from a file is that of the variable
 * whose name differs by a number alone, since tfjs renames variables while those of the saved model exist; if no name is alike, that in
 * its place.
 */
function findOwners(
  variables: Map<string, string>,
  names: readonly string[],
  given: readonly string[],
): void {
  const known = new Set(variables.values());
  const isAlike = (name: string, state: string): boolean =>
    withoutNumber(state) === withoutNumber(name);
  const isByPlace =
    known.size === 0 &&
    names.length === given.length &&
    !given.some((name) => names.some((state) => isAlike(name, state)));
  for (const [i, name] of given.entries()) {
    if (known.has(name)) continue;
    const isFree = (state: string): boolean => !variables.has(state) && !given.includes(state);
    const alike = names.includes(name)
      ? name
      : names.find((state) => isFree(state) && isAlike(name, state));
    variables.set(alike ?? (isByPlace ? names[i]! : name), name);
  }
}

/** Names of the variables of which one of tfjs's own optimizers has state, in its order. */
function namesOfState(optimizer: tf.Optimizer): string[] {
  const lists = Object.values(optimizer).filter(Array.isArray) as Array<
    Array<{originalName: string}>
  >;
  // One list for each moment, all in the same order; `originalName` is such as 'dense/kernel/m'.
  return (lists.find(({length}) => length > 0) ?? []).map(({originalName}) =>
    originalName.replace(/\/[^/]*$/, ''),
  );
}

/** The rate of an optimizer's next step, if it has one that can be read: those of tfjs have, declared protected. */
export function learningRateOf(optimizer: tf.Optimizer): number | undefined {
  const {learningRate} = optimizer as {learningRate?: unknown};
  return typeof learningRate === 'number' ? learningRate : undefined;
}

/** Replaces `instanceof`, which tfjs-core defines so that every optimizer, even of another copy, is of any optimizer class. */
function isOf(known: {prototype: object}, value: unknown): boolean {
  return Object.prototype.isPrototypeOf.call(known.prototype, value as object);
}
