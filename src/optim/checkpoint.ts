import * as tf from '@tensorflow/tfjs-core';
import type {VariableState} from './state';

/** A tensor with the name under which a model file keeps it. */
export type NamedTensor = Awaited<ReturnType<tf.Optimizer['getWeights']>>[number];

/**
 * Endings that make an entry's name from its variable's. They start with the optimizer's name, for the entries share one
 * list of names with the model's own weights.
 */
const suffixes = {
  first: '/owlore.moment1',
  second: '/owlore.moment2',
  basis: '/owlore.basis',
  gradientSum: '/owlore.gradient',
  projectedSum: '/owlore.projectedGradient',
  clocks: '/owlore.clocks',
} as const;

/**
 * States as named tensors: the tensors of the states themselves, and for each a new int32 tensor `[adamSteps, basisSteps]`
 * which the caller disposes.
 */
export function statesToTensors(states: Iterable<[string, VariableState]>): NamedTensor[] {
  const saved: NamedTensor[] = [];
  for (const [name, {moments, adamSteps, basisSteps, ...tensorsAlone}] of states) {
    const clocks = tf.tensor1d([adamSteps, basisSteps], 'int32');
    const tensors = {...moments, ...tensorsAlone, clocks};
    for (const [key, suffix] of Object.entries(suffixes)) {
      const tensor = tensors[key as keyof typeof tensors];
      if (tensor) saved.push({name: name + suffix, tensor});
    }
  }
  return saved;
}

/**
 * The reverse of {@link statesToTensors}. Copies what it is given (kept, for the {@link StateStore}). Throws, before it
 * copies anything, on an entry that is none of this optimizer's.
 */
export async function statesFromTensors(
  saved: readonly NamedTensor[],
): Promise<Map<string, VariableState>> {
  const byVariable = new Map<string, Partial<Record<keyof typeof suffixes, tf.Tensor>>>();
  for (const {name, tensor} of saved) {
    const match = Object.entries(suffixes).find(([, suffix]) => name.endsWith(suffix));
    if (!match) {
      throw new Error(
        `OwLoreOptimizer: '${name}' is not a state of this optimizer; these weights were saved by another one`,
      );
    }
    const [key, suffix] = match;
    const variable = name.slice(0, -suffix.length);
    byVariable.set(variable, {...byVariable.get(variable), [key]: tensor});
  }
  const states = new Map<string, VariableState>();
  for (const [variable, {first, second, basis, gradientSum, projectedSum, clocks}] of byVariable) {
    const [adamSteps = 0, basisSteps = 0] = clocks ? await clocks.data<'int32'>() : [];
    states.set(variable, {
      moments: first && second ? {first: copy(first), second: copy(second)} : null,
      adamSteps,
      basis: basis ? copy(basis as tf.Tensor2D) : null,
      basisSteps,
      gradientSum: gradientSum ? copy(gradientSum) : null,
      projectedSum: projectedSum ? copy(projectedSum) : null,
    });
  }
  return states;
}

function copy<T extends tf.Tensor>(tensor: T): T {
  return tf.keep(tf.clone(tensor));
}
