/** What optimizers of tfjs-core have in common beside what they declare; seen in 4.22. */
import * as tf from '@tensorflow/tfjs-core';

/** tfjs's own optimizers. */
const tfjsOptimizers = [
  tf.AdadeltaOptimizer,
  tf.AdagradOptimizer,
  tf.AdamOptimizer,
  tf.AdamaxOptimizer,
  tf.RMSPropOptimizer,
  tf.SGDOptimizer,
];

/** Whether an object is an optimizer of this copy of tfjs-core. */
export function isOptimizer(value: object): boolean {
  return isOf(tf.Optimizer, value);
}

/** Whether an optimizer is one of tfjs's own: with these each call is known to add one to `iterations`. */
export function isTfjsOptimizer(optimizer: tf.Optimizer): boolean {
  return tfjsOptimizers.some((known) => isOf(known, optimizer));
}

/** The rate of an optimizer's next step, if it has one that can be read: those of tfjs have, declared protected. */
export function learningRateOf(optimizer: tf.Optimizer): number | undefined {
  const {learningRate} = optimizer as {learningRate?: unknown};
  return typeof learningRate === 'number' ? learningRate : undefined;
}

/** Replaces `instanceof`, which tfjs-core defines so that every optimizer, even of another copy, is of any optimizer class. */
function isOf(known: {prototype: object}, value: object): boolean {
  return Object.prototype.isPrototypeOf.call(known.prototype, value);
}
