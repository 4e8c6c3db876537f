import * as tf from '@tensorflow/tfjs-core';
import type {LinearUse} from './linear_use';

/** The two readings of an einsum of two tensors: either may be the weight. */
export function einsumUses(inputs: tf.NamedTensorMap, {equation}: tf.EinsumAttrs): LinearUse[] {
  const [a, b] = Object.values(inputs); // tfjs takes no more
  const [labelsOfA, labelsOfB] = equation.replace(/\s/g, '').split('->')[0]!.split(',');
  if (!labelsOfA || !labelsOfB) return [];
  return [einsumUse(b!, labelsOfB, a!, labelsOfA), einsumUse(a!, labelsOfA, b!, labelsOfB)];
}

function einsumUse(
  weight: tf.Tensor,
  labelsOfWeight: string,
  input: tf.Tensor,
  labelsOfInput: string,
): LinearUse {
  const axes = Array.from(labelsOfInput).map((label, axis) => ({label, axis}));
  const featureAxes = axes.flatMap(({label, axis}) =>
    labelsOfWeight.includes(label) ? [axis] : [],
  );
  const rowAxes = axes.flatMap(({axis}) => (featureAxes.includes(axis) ? [] : [axis]));
  return {
    weight,
    input,
    featureAxes,
    sumRows(values) {
      const sums = tf.sum(values, rowAxes);
      const kept = featureAxes.map((axis) => labelsOfInput[axis]!);
      const inWeightOrder = Array.from(labelsOfWeight).filter((label) => kept.includes(label));
      const ordered = tf.transpose(
        sums,
        inWeightOrder.map((label) => kept.indexOf(label)),
      );
      const shape = Array.from(labelsOfWeight).map((label, axis) =>
        kept.includes(label) ? weight.shape[axis]! : 1,
      );
      return tf.reshape(ordered, shape);
    },
  };
}
