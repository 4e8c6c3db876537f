import * as tf from '@tensorflow/tfjs-core';
import type {StateStore} from './state';
import {registeredVariable, type Update} from './variables';

/** Adds the gradients of one call to the sums in the variables' states. */
export function addToSums(states: StateStore, updates: readonly Update[]): void {
  for (const {variable, gradient} of updates) {
    const state = states.of(variable.name);
    const old = state.gradientSum;
    state.gradientSum = tf.keep(old ? tf.add(old, gradient) : tf.clone(gradient));
    old?.dispose();
  }
}

/** The means of the gradients of `calls` calls; the sums are freed. A variable that is gone meanwhile has none. */
export function takeMeans(states: StateStore, calls: number): Update[] {
  const updates: Update[] = [];
  for (const [name, state] of states.entries()) {
    const {gradientSum} = state;
    if (!gradientSum) continue;
    const variable = registeredVariable(name);
    if (variable) updates.push({variable, gradient: tf.div(gradientSum, calls)});
    gradientSum.dispose();
    state.gradientSum = null;
  }
  return updates;
}
