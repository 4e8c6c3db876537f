import * as tf from '@tensorflow/tfjs-core';
import {TINY} from '../rules/rule';
import {ifFinite, replace, type VariableState} from '../state/state';

/** By how much the norm of a change may grow from one step of a matrix to the next; the number of Fira and APOLLO. */
const GROWTH = 1.01;

/**
 * The change S that `make` returns with its norm limited by that of the step before, S·min(1, 1.01·s/‖S‖); remembers the norm s in
 * the state. After a norm of 0 there is no limit: the published code would let S stay at nearly 0 for good.
 */
export function limitGrowth(
  state: VariableState,
  allFinite: tf.Tensor | null,
  make: () => tf.Tensor2D,
): tf.Tensor2D {
  return tf.tidy(() => {
    const s = tf.tidy(make);
    const norm = tf.tidy(() => tf.sqrt(tf.sum(tf.square(s))));
    const {limit} = state;
    if (!limit) {
      state.limit = tf.keep(ifFinite(allFinite, norm, tf.zerosLike(norm)));
      return s;
    }
    const growth = tf.maximum(tf.div(norm, tf.add(limit, TINY)), GROWTH);
    const divisor = tf.where(tf.greater(limit, 0), tf.div(growth, GROWTH), tf.onesLike(norm));
    state.limit = replace(limit, ifFinite(allFinite, tf.div(norm, divisor), tf.clone(limit)));
    const change = tf.div<tf.Tensor2D>(s, divisor);
    s.dispose();
    return change;
  });
}
