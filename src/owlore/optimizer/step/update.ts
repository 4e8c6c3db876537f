/**
 * The update of one matrix W by its gradient G (GaLore: Zhao et al. 2024, Alg. 2), with Adam and decoupled weight decay. The
 * basis P spans rows on the left side, columns on the right:
 *
 *       left                                  right
 *   P ← leading left singular vectors of G    of Gᵀ        in the first step, then after every T of the matrix's own steps
 *   R = PᵀG                                   GP
 *   M ← β₁M + (1 − β₁)R
 *   V ← β₂V + (1 − β₂)R∘R
 *   N = M̂/(√V̂ + ε)                                         M̂ = M/(1 − β₁ᵗ) and V̂ = V/(1 − β₂ᵗ) in step t
 *   W ← W − η(α·P·N + λW)                     α·N·Pᵀ
 *
 * A variable that is not projected has R = G, and N in place of α·P·N: that is AdamW.
 *
 * `projectGradient` is the first two lines. It changes nothing, so that all gradients of a step can be checked before
 * `applyUpdates` does the rest.
 */
import * as tf from '@tensorflow/tfjs-core';
import {OnDemand, onlyInNode} from '../../../common/on_demand';
import {checkRoom, smallestNormal} from '../../../kernels/capabilities';
import {OwLoreAdam, type Side} from '../../../kernels/kernel_names';
import {hasKernel} from '../../../kernels/run_kernel';
import type {ResolvedOwLoreOptions} from '../options';
import {adamStep, movingAverage, rotateMoments, updateNumbers, zeroMoments} from './adam';
import {
  basisOfGram,
  computeBasis,
  isRefreshDue,
  previousBasis,
  scalesDirections,
} from '../state/basis';
import {fusedAdam} from './fused_adam';
import type {Gradient} from './gradient';
import {limitGrowth} from './limit_growth';
import {largestMagnitude} from '../../../kernels/norms';
import {asMatrix, projectBack, rotationBetween} from '../state/projector';
import {subspaceRule, updateRules} from '../rules';
import {renew, ifFinite} from '../state/state';
import type {StepSettings, Update} from './pending_update';

/** New bases of several matrices side by side, on tensorflow; provided only in Node. */
export const refreshes = new OnDemand<typeof import('./refreshes')>(onlyInNode);

/**
 * The update with R in place of G, and with a new P where one is due; and ‖G‖² if `isMeasured`. With `scale: 'auto'` the columns of
 * the new P get the lengths of {@link directionScales}. Where new bases are made side by side, the update may stay as it is, and wait for others.
 */
export function projectGradient(
  update: Update,
  gradient: Gradient,
  {options, step}: Pick<StepSettings, 'options' | 'step'>,
  isMeasured: boolean,
): {update: Update; squaredNorm: tf.Scalar | null} {
  const {variable, projection, state} = update;
  if (!projection) return {update, squaredNorm: isMeasured ? gradient.squaredNorm() : null};
  if (!isRefreshDue(state, options)) {
    const {r, squaredNorm} = gradient.project(state.basis!, isMeasured);
    return {update: {...update, gradient: r}, squaredNorm};
  }
  if (refreshes.loaded?.waits(update, options))
    return {update, squaredNorm: isMeasured ? gradient.squaredNorm() : null};
  const previous = previousBasis(state, options);
  const gram = gradient.gram();
  const basis = gram
    ? basisOfGram(gram.matrix, projection.rank, previous)
    : computeBasis(
        ...([variable.name, gradient.tensor, projection, previous, options, step] as const),
      );
  const {r, squaredNorm} = gradient.project(basis, isMeasured && !gram);
  return {
    update: inNewBasis(update, basis, r, options),
    squaredNorm: gram?.squaredNorm ?? squaredNorm,
  };
}

/** The update with a new basis of orthonormal columns, and R in it. */
export function inNewBasis(
  update: Update,
  basis: tf.Tensor2D,
  r: tf.Tensor2D,
  options: ResolvedOwLoreOptions,
): Update {
  if (!scalesDirections(options)) return {...update, gradient: r, newBasis: basis};
  const {side} = update.projection!;
  const scales = directionScales(r, side);
  const scalesOfR = side === 'left' ? tf.reshape(scales, [-1, 1]) : scales;
  return {...update, gradient: tf.mul(r, scalesOfR), newBasis: tf.mul(basis, scales)};
}

/**
 * How much further each direction of the basis moves, [rank], with `scale: 'auto'`: max(1, σ/σ_rms), where σ is the length of R
 * along the direction. In the full space Adam moves each element by about η whatever its gradient, so that the movement along a
 * direction is in proportion to its part of the gradient, σ/‖R‖. In the coordinates of a basis all directions would move by η,
 * and a gradient with few directions would hardly make progress. The factors become the lengths of the columns of P, and the step
 * stays that of the method: Adam does not depend on the scale of a coordinate of R = PᵀG, while P·N is scaled by it.
 */
function directionScales(r: tf.Tensor2D, side: Side): tf.Tensor1D {
  return tf.tidy(() => {
    const scaled = tf.div(r, largestMagnitude(r));
    const squares = tf.sum<tf.Tensor1D>(tf.square(scaled), side === 'left' ? 1 : 0);
    const mean = tf.maximum(tf.mean(squares), smallestNormal());
    return tf.maximum<tf.Tensor1D>(1, tf.sqrt(tf.div(squares, mean)));
  });
}

/**
 * Updates variables and states by projected gradients, which it disposes of. If there is no memory for that, nothing is changed; after
 * another error the step is counted for the variables that were moved.
 */
export function applyUpdates(updates: readonly Update[], step: StepSettings): void {
  const unmoved = new Set<Update>();
  try {
    for (const update of updates) {
      prepareState(update, step);
      unmoved.add(update);
    }
    updates.forEach(checkRoomFor);
    // No kernel moves a matrix by its whole gradient.
    const [fusible, others] = [false, true].map((isWhole) =>
      updates.filter(({whole}) => !!whole === isWhole),
    );
    if (!fusedAdam(fusible!, step, unmoved)) others!.unshift(...fusible!);
    for (const update of others!) {
      tf.tidy(() => applyUpdate(update, step));
      unmoved.delete(update);
    }
  } catch (error) {
    unmoved.forEach(takeBack);
    throw error;
  }
}

/**
 * Throws if there is no room for what an update makes: a new matrix and N with the kernel, which moves a weight without projection in
 * place if its data are nobody else's; more with plain ops.
 */
function checkRoomFor({variable: {size, dataId}, gradient, projection, whole}: Update): void {
  if (projection || !hasKernel(OwLoreAdam) || tf.backend().refCount(dataId) > 1)
    checkRoom(whole ? Array<number>(5).fill(size) : [size, gradient.size]);
}

/**
 * Updates M, V and W with plain ops, on backends without a kernel and for comparison. Every statement frees what no later one
 * needs: beside variable and state there are at most two buffers of the variable's size at once, three if it is not projected.
 */
function applyUpdate(update: Update, step: StepSettings): void {
  const {variable, projection, state, gradient, whole} = update;
  const {clip, allFinite, options} = step;
  const moments = state.moments!;
  const numbers = updateNumbers(update, step);

  // M ← β₁M + (1 − β₁)R
  const r = clip ? tf.mul(gradient, clip) : gradient;
  if (r !== gradient) gradient.dispose();
  moments.first = renew(moments.first, allFinite, (m) => movingAverage(m, r, options.beta1));

  // V ← β₂V + (1 − β₂)R∘R
  const square = tf.square(r);
  if (!whole) r.dispose();
  moments.second = renew(moments.second, allFinite, (v) => movingAverage(v, square, options.beta2));
  square.dispose();

  // W ← W − ηλW
  if (numbers.decay !== 1) {
    tf.tidy(() => {
      const decay = ifFinite(allFinite, tf.scalar(numbers.decay), tf.scalar(1));
      variable.assign(tf.mul(variable, decay));
    });
  }

  // W ← W − η·α·P·N, or what another rule has in place of P·N
  const next = tf.tidy(() => {
    const n = adamStep(moments, whole ? {...numbers, rate: 1} : numbers);
    if (!projection) return tf.sub(variable, n);
    const {side} = projection;
    const toSpace = (x: tf.Tensor2D): tf.Tensor2D => projectBack(x, state.basis!, side);
    const rule = whole ? updateRules[options.update] : subspaceRule;
    const change = rule.change({
      ...{n: n as tf.Tensor2D, r: r as tf.Tensor2D, side, toSpace},
      gradient: () => asMatrix(clip ? tf.mul(whole!, clip) : whole!, projection),
      limited: (make) => limitGrowth(state, allFinite, make),
    });
    const shaped = tf.reshape(change, variable.shape);
    return tf.sub(variable, whole ? tf.mul(shaped, numbers.rate) : shaped);
  });
  variable.assign(ifFinite(allFinite, next, variable));
  gradient.dispose();
  whole?.dispose();
}

/** Gives the state its new P, if there is one, and at the first step M and V; counts the step. */
function prepareState(update: Update, step: StepSettings): void {
  const {variable, projection, state, gradient, newBasis} = update;
  if (newBasis) {
    tf.tidy(() => {
      transferMoments(update, newBasis, step);
      state.basis = renew(state.basis ?? tf.zerosLike(newBasis), step.allFinite, () => newBasis);
    });
    state.basisSteps = 0;
    step.onRefresh(variable.name);
  }
  if (!state.moments) {
    const {first, second} = zeroMoments(gradient.shape);
    state.moments = {first: tf.keep(first), second: tf.keep(second)};
  }
  state.adamSteps++;
  if (projection) state.basisSteps++;
}

/** Uncounts a step for which a state was prepared. It keeps a new basis and what that has made of the moments. */
function takeBack({projection, state}: Update): void {
  state.adamSteps--;
  if (projection) state.basisSteps--;
  if (state.adamSteps > 0) return;
  tf.dispose([state.moments!.first, state.moments!.second]);
  state.moments = null;
}

/** Takes M and V, if there are any, from the old basis to a new one. */
function transferMoments(
  {projection, state}: Update,
  newBasis: tf.Tensor2D,
  {options, allFinite}: StepSettings,
): void {
  const {moments, basis, adamSteps} = state;
  if (!moments || options.moments === 'keep') return;
  const isRotated = options.moments === 'rotate';
  const {first, second} = isRotated
    ? rotateMoments(
        moments,
        rotationBetween(basis!, newBasis),
        projection!.side,
        adamSteps,
        options,
      )
    : zeroMoments(moments.first.shape);
  moments.first = renew(moments.first, allFinite, () => first);
  moments.second = renew(moments.second, allFinite, () => second);
  if (!isRotated) state.adamSteps = 0;
}
