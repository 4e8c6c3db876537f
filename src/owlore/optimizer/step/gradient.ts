/**
 * What a step asks of a gradient, whichever kind it is: a tensor, or factored (`FactoredGradient`). Rows with ids have become a tensor
 * by then.
 */
import * as tf from '@tensorflow/tfjs-core';
import {squaredNorm} from '../../../kernels/norms';
import type {FactoredGradient} from '../../../tape/factored_gradient';
import {isFactored} from '../../../tape/gradient';
import type {ResolvedOwLoreOptions} from '../options';
import {project, type Projection} from '../state/projector';
import {updateRules} from '../rules';

/** The gradient G of a variable. Tensors that it returns belong to the caller's tidy. */
export interface Gradient {
  /** G, which the optimizer disposes of. It is factored only where the methods below are all that the step asks. */
  readonly tensor: tf.Tensor;
  /** R by a basis, and ‖G‖² in the same pass if it is asked for. */
  project(basis: tf.Tensor2D, isMeasured: boolean): {r: tf.Tensor2D; squaredNorm: tf.Scalar | null};
  /** ‖unit·G‖²; by default ‖G‖². */
  squaredNorm(unit?: number): tf.Scalar;
  /**
   * What a basis is made of where G is factored: its Gram matrix, divided by a number that brings its entries near 1, and ‖G‖² in the
   * same pass. Null where G is a tensor, of which a basis is made itself.
   */
  gram(): {matrix: tf.Tensor2D; squaredNorm: tf.Scalar} | null;
}

/** The gradient that came from the tape, as the step asks it. Where the options need G itself, one that is factored is made. */
export function gradientOf(
  tensor: tf.Tensor,
  variable: tf.Variable,
  projection: Projection | null,
  options: Pick<ResolvedOwLoreOptions, 'basis' | 'update'>,
): Gradient {
  if (!isFactored(tensor)) return dense(tensor, projection);
  if (factoredAxis(variable, projection, options) === tensor.axis)
    return factored(tensor, variable);
  return dense(tensor.reduce(variable, {isMade: true}).whole!, projection);
}

function dense(tensor: tf.Tensor, projection: Projection | null): Gradient {
  const norm = (unit?: number): tf.Scalar =>
    tf.tidy(() => squaredNorm(unit === undefined ? tensor : tf.mul(tensor, unit)));
  return {
    tensor,
    project: (basis, isMeasured) => ({
      squaredNorm: isMeasured ? norm() : null,
      r: project(tensor, basis, projection!),
    }),
    squaredNorm: norm,
    gram: () => null,
  };
}

function factored(tensor: FactoredGradient, variable: tf.Variable): Gradient {
  return {
    tensor,
    project(basis, isMeasured) {
      const {projected, squares} = tensor.reduce(variable, {basis, isMeasured});
      return {r: projected!, squaredNorm: squares};
    },
    squaredNorm: (unit) => tensor.reduce(variable, {isMeasured: true, unit}).squares!,
    gram() {
      const {gram, squares} = tensor.reduce(variable, {hasGram: true});
      return {matrix: gram!, squaredNorm: squares!};
    },
  };
}

/**
 * The axis along which a variable's gradient may be factored: the one that the basis does not span. Undefined if the gradient has
 * to be whole: for a variable that is not projected, for a basis that is not computed from GᵀG, and where G itself moves the variable.
 */
export function factoredAxis(
  {shape}: Pick<tf.Tensor, 'shape'>,
  projection: Projection | null,
  {basis, update}: Pick<ResolvedOwLoreOptions, 'basis' | 'update'>,
): 0 | 1 | undefined {
  const needsWhole = basis !== 'randomized' || updateRules[update].needsWholeGradient;
  if (!projection || shape.length !== 2 || needsWhole) return undefined;
  return projection.side === 'right' ? 0 : 1;
}
