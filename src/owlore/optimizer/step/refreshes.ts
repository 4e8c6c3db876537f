/**
 * New bases of several matrices at a time, by a kernel that only TensorFlow has: it makes them side by side. Elsewhere nothing would be
 * gained, and gradients would be there longer.
 */
import * as tf from '@tensorflow/tfjs-core';
import {OwLoreRefresh, type OwLoreRefreshed} from '../../../kernels/kernel_names';
import {hasKernel, runKernel} from '../../../kernels/run_kernel';
import {isFactored} from '../../../tape/gradient';
import {
  COLD_START,
  ownBasis,
  previousBasis,
  randomStart,
  scalesDirections,
  WARM_START,
} from '../state/basis';
import type {ResolvedOwLoreOptions} from '../options';
import {asMatrix, basisShape} from '../state/projector';
import {withoutNumber} from '../../../tfjs/variable_names';
import type {Update} from './pending_update';

/** The most numbers that gradients which wait for each other may have; 8 MB. */
const MAX_NUMBERS = 2 ** 21;

/** Adds an update to those that are to be applied. Frees `gradient`, the variable's, unless the update still needs it. */
type Keep = (update: Update, gradient: tf.Tensor) => void;

/**
 * Whether the kernel can make the new basis of an update, which a step needs. The update then waits as it is, for others and until
 * {@link finish} projects it.
 */
export function waits(update: Update, options: ResolvedOwLoreOptions): boolean {
  const {gradient} = update;
  const isMade =
    gradient.size <= MAX_NUMBERS &&
    options.basis === 'randomized' &&
    !ownBasis(options) &&
    !isFactored(gradient) &&
    hasKernel(OwLoreRefresh);
  if (isMade) unprojected.add(update);
  return isMade;
}

/**
 * Projects those of a step's updates that wait.
 *
 * @param next If given, an update that comes after them: they go on waiting, unless it is of another block or too large to be added.
 */
export function finish(
  waiting: Update[],
  options: ResolvedOwLoreOptions,
  keep: Keep,
  next?: Update,
): void {
  const updates = waiting.filter((update) => unprojected.has(update));
  if (updates.length === 0) return;
  if (next && !(unprojected.has(next) && areFull(updates, next))) return;
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
  return numbers > MAX_NUMBERS || updates.some((update) => roleOf(update) === roleOf(next));
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
