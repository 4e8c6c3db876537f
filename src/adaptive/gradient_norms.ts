import type {AdaptiveSampling} from '../layer_sampling_options';
import {RuledSampling} from './adaptive_sampling';

/**
 * Draws blocks in proportion to the norms of their gradients when they were last on, the probabilities that make the variance of
 * importance sampling least (Zhao & Zhang 2015, arXiv 1401.2753). A block that was not on yet counts as much as the largest, so that
 * each is seen soon; the first period is drawn by the callback's scores.
 *
 * ```ts
 * new LayerSamplingCallback({scores, gamma: 5, floor: 0.1, adaptive: gradientNorms()});
 * ```
 *
 * Needs an `OwLoreOptimizer` that checks its gradients (`nonFinite` is not `'ignore'`), on a backend that can be read within a step,
 * which webgpu cannot. With `accumulate` > 1 the gradients of projected matrices are summed whole, which takes more memory.
 */
export function gradientNorms(): AdaptiveSampling {
  return new RuledSampling({
    ...{kind: 'gradientNorms', settings: {}, usesGradients: true},
    scores({norms}, {blocks, shares}) {
      const largest = Math.max(...Object.values(norms), 0);
      if (largest === 0) return [...shares];
      return blocks!.map((block) => norms[block] ?? largest);
    },
  });
}
