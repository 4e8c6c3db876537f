import * as tf from '@tensorflow/tfjs-core';
import {maxUpdatedTogether, SMALL_WEIGHT} from '../../../kernels/capabilities';
import {OwLoreAdam} from '../../../kernels/kernel_names';
import {hasKernel, runKernel} from '../../../kernels/run_kernel';
import {updateNumbers} from './adam';
import {asMatrix} from '../state/projector';
import {replace} from '../state/state';
import type {StepSettings, Update} from './pending_update';

/**
 * Moves moments and weights by the kernel OwLoreAdam, and disposes of the gradients, if the backend has that kernel.
 *
 * @param unmoved Those whose variables are moved are taken out of it.
 * @returns whether it has the kernel; if not, nothing was done.
 */
export function fusedAdam(
  updates: readonly Update[],
  step: StepSettings,
  unmoved: Set<Update>,
): boolean {
  if (!hasKernel(OwLoreAdam)) return false;
  const max = maxUpdatedTogether();
  const isAlone = ({projection, variable}: Update): boolean =>
    max === 0 || (projection === null && variable.size > SMALL_WEIGHT);
  const others = updates.filter((update) => !isAlone(update));
  for (const group of groupsOf(others, max)) moveTogether(group, step, unmoved);
  // The largest first: then each finds room where the weight before it was, if the first one finds any.
  const alone = updates.filter(isAlone).sort((a, b) => b.variable.size - a.variable.size);
  for (const update of alone) moveTogether([update], step, unmoved);
  return true;
}

/** The updates in groups. The weights of a group have at most `maxNumbers` numbers together, unless it is a single update. */
function groupsOf(updates: readonly Update[], maxNumbers: number): Update[][] {
  const groups: Update[][] = [];
  let numbers = Infinity;
  for (const update of updates) {
    numbers += update.variable.size;
    if (numbers > maxNumbers) {
      groups.push([]);
      numbers = update.variable.size;
    }
    groups.at(-1)!.push(update);
  }
  return groups;
}

function moveTogether(updates: readonly Update[], step: StepSettings, unmoved: Set<Update>): void {
  const {beta1, beta2} = step.options;
  const {clip, allFinite} = step;
  tf.tidy(() => {
    const inputs: Record<string, tf.Tensor | null> = {clip, allFinite};
    updates.forEach(({variable, gradient, state, projection}, i) => {
      const {first, second} = state.moments!;
      // No kernel changes a reshaped variable in place, because it shares its data with the variable.
      inputs[`variable${i}`] = projection ? asMatrix(variable, projection) : variable;
      inputs[`first${i}`] = first;
      inputs[`second${i}`] = second;
      inputs[`gradient${i}`] = gradient;
      inputs[`basis${i}`] = projection && state.basis;
    });
    const attrs = {beta1, beta2, updates: updates.map((update) => updateNumbers(update, step))};
    const results = runKernel(OwLoreAdam, inputs, attrs)!;
    updates.forEach((update, i) => {
      const {variable, gradient, state} = update;
      const [next, first, second] = results.slice(3 * i, 3 * i + 3) as [
        tf.Tensor,
        tf.Tensor,
        tf.Tensor,
      ];
      variable.assign(next.rank === variable.rank ? next : tf.reshape(next, variable.shape));
      unmoved.delete(update);
      const moments = state.moments!;
      moments.first = replace(moments.first, first);
      moments.second = replace(moments.second, second);
      gradient.dispose();
    });
  });
}
