/**
 * New bases of several matrices at a time, by a kernel that only TensorFlow has: it makes them side by side. Elsewhere nothing would be
 * gained, and gradients would be there longer.
 */
import * as tf from '@tensorflow/tfjs-core';
import {OwLoreRefresh, type OwLoreRefreshed} from '../../../kernels/kernel_names';
import {hasKernel, runKernel} from '../../../kernels/run_kernel';
import {isFactored} from '../../../tape/gradient';
import {COLD_START, ownBasis, randomStart, WARM_START} from '../state/basis';
import type {ResolvedOwLoreOptions} from '../options';
import {asMatrix, basisShape} from '../state/projector';
import {withoutNumber} from '../state/variables';
import type {Update} from './pending_update';
import {isRefreshDue, previousBasis, scalesDirections} from './update';

/** The most numbers that gradients which wait for each other may have; 8 MB. */
const MOST_NUMBERS = 2 ** 21;

/** Adds an update to those that are to be applied. Frees `gradient`, the variable's, unless the update still needs it. */
type Keep = (update: Update, gradient: tf.Tensor) => void;

/**
 * Lets an update wait for others if it gets a new basis that the kernel can make. Those that wait already are projected first if this
 * one is of another block, or if they would be too large together.
 *
 * @param waiting The updates of a step that are to be applied.
 * @returns whether it waits; the caller then keeps it as it is, and {@link finish} projects it.
 */
export function joins(
  update: Update,
  waiting: Update[],
  options: ResolvedOwLoreOptions,
  keep: Keep,
): boolean {
  const {projection, state, gradient} = update;
  const isRefreshed =
    projection !== null &&
    gradient.size <= MOST_NUMBERS &&
    options.basis === 'randomized' &&
    !ownBasis(options) &&
    isRefreshDue(state, options) &&
    !isFactored(gradient) &&
    hasKernel(OwLoreRefresh);
  if (!isRefreshed) return false;
  const others = waiting.filter((other) => unprojected.has(other));
  if (areFull(others, update)) finish(waiting, options, keep);
  unprojected.add(update);
  return true;
}

/** Projects those of the updates that wait for it. */
export function finish(waiting: Update[], options: ResolvedOwLoreOptions, keep: Keep): void {
  const updates = waiting.filter((update) => unprojected.has(update));
  if (updates.length === 0) return;
  tf.tidy(() => {
    const projected = projectTogether(updates, options);
    projected.forEach((update, i) => keep(update, updates[i]!.gradient));
    // Last: if a line above throws, the step still finds all of them here and frees them.
    const others = waiting.filter((update) => !unprojected.has(update));
    waiting.splice(0, waiting.length, ...others);
  });
}

/** Updates of which nothing is projected yet. */
const unprojected = new WeakSet<Update>();

/**
 * Whether updates do not wait for another one: together they would be too large, or it belongs to another block. Blocks are told
 * apart by the names of their variables, which are alike but for the number of the block. So the same matrices come together for each block, and
 * the kernel becomes a graph that does for all of them.
 */
function areFull(updates: readonly Update[], next: Update): boolean {
  const numbers = updates.reduce((sum, {gradient}) => sum + gradient.size, next.gradient.size);
  return numbers > MOST_NUMBERS || updates.some((update) => roleOf(update) === roleOf(next));
}

/** The name of a variable without the number of its block, the first one in it, and without the one that tfjs adds at the end. */
function roleOf({variable}: Update): string {
  return withoutNumber(variable.name).replace(/\d+/, '');
}

/** As `projectGradient` of each. */
function projectTogether(updates: readonly Update[], options: ResolvedOwLoreOptions): Update[] {
  const starts = new Map<string, tf.Tensor2D>();
  const inputs: Record<string, tf.Tensor | null> = {};
  const refreshes = updates.map(({gradient, projection, state}, i): OwLoreRefreshed => {
    const shape = basisShape(projection!);
    const previous = previousBasis(state, options);
    const random = starts.get(`${shape}`) ?? randomStart(...shape);
    starts.set(`${shape}`, random);
    inputs[`gradient${i}`] = asMatrix(gradient, projection!);
    inputs[`random${i}`] = random;
    inputs[`previous${i}`] = previous;
    return {side: projection!.side, multiplications: previous ? WARM_START : COLD_START};
  });
  const attrs = {refreshes, scalesDirections: scalesDirections(options)};
  const results = runKernel(OwLoreRefresh, inputs, attrs) as tf.Tensor2D[];
  return updates.map((update, i) => ({
    ...update,
    newBasis: results[2 * i]!,
    gradient: results[2 * i + 1]!,
  }));
}
