/** Whether a saved state can be that of a variable, whatever the options of the optimizer are. */
import * as tf from '@tensorflow/tfjs-core';
import {SIDES} from '../../../kernels/kernel_names';
import {withoutNumber} from '../../../tfjs/variable_names';
import {matrixSizes} from './projector';
import {fits, shapesOf, type VariableState} from './state';
import {registeredVariable} from './variables';

/**
 * Throws if a saved state cannot belong to the variable of its name, whatever the options are. A variable whose name differs
 * only by its number is accepted too: the name itself may be another model's by now.
 */
export function checkFits(name: string, state: VariableState): void {
  const variable = registeredVariable(name);
  if (!variable) return;
  const others = Object.values(tf.engine().registeredVariables);
  const isOfName = (other: tf.Variable): boolean =>
    withoutNumber(other.name) === withoutNumber(name);
  if (others.some((other) => isOfName(other) && canFit(state, other.shape))) return;
  throw new Error(
    `OwLoreOptimizer: the saved state of '${name}' (${shapesOf(state)}) does not fit the variable, whose shape is ` +
      `[${variable.shape}]; nothing was loaded. Load the state of this model`,
  );
}

/** Whether a state can be that of a variable of `shape`, projected in any way or not at all. */
function canFit(state: VariableState, shape: readonly number[]): boolean {
  const {basis} = state;
  if (!basis) return fits(state, shape, null);
  if (shape.length < 2) return false;
  const sizes = {...matrixSizes(shape), rank: basis.shape[1]};
  return SIDES.some((side) => fits(state, shape, {...sizes, side}));
}
