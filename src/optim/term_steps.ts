/** What a step does with gradients in terms (`TermGradient`). */
import type * as tf from '@tensorflow/tfjs-core';
import type {projectedTerms, projectTerms, scaledTermNorm} from './gradient_terms';
import type {ResolvedOwLoreOptions} from './owlore_options';
import type {Projection} from './projector';
import {updateRules} from './rules';

export interface TermSteps {
  projectTerms: typeof projectTerms;
  projectedTerms: typeof projectedTerms;
  scaledTermNorm: typeof scaledTermNorm;
}

/** Empty until {@link provideTermSteps} is called. */
export const termSteps = {} as TermSteps;

/** Called by the code that makes such gradients, so that a page without it need not load this part. */
export function provideTermSteps(steps: TermSteps): void {
  Object.assign(termSteps, steps);
}

/**
 * The axis along which a variable's gradient may be in terms: the one that the basis does not span. Undefined if the gradient has
 * to be whole: for a variable that is not projected, for a basis that is not computed from GᵀG, and where G itself moves the variable.
 */
export function termAxis(
  {shape}: Pick<tf.Tensor, 'shape'>,
  projection: Projection | null,
  {basis, update}: Pick<ResolvedOwLoreOptions, 'basis' | 'update'>,
): 0 | 1 | undefined {
  const needsWhole = basis !== 'randomized' || updateRules[update].needsWholeGradient;
  if (!projection || shape.length !== 2 || needsWhole) return undefined;
  return projection.side === 'right' ? 0 : 1;
}
