import type * as tf from '@tensorflow/tfjs-core';
import type {OwLoreOptimizer} from '../../src/index';

/** Tells an optimizer, as a callback does, which of some variables it keeps from training from now on. */
export function freeze(
  optimizer: OwLoreOptimizer,
  variables: readonly tf.Variable[],
  frozen: readonly tf.Variable[],
): void {
  const namesOf = (some: readonly tf.Variable[]): Set<string> =>
    new Set(some.map(({name}) => name));
  optimizer.setSamplingPlan({
    blockVariables: namesOf(variables),
    frozenVariables: namesOf(frozen),
    onRefresh: () => undefined,
  });
}
