import type {AdaptiveSampling} from '../layer_sampling_options';
import {RuledSampling} from './adaptive_sampling';

/**
 * Draws blocks by the larger of what two things ask for: their probability from the callback's scores, and what would bring their
 * visits up to those of uniform sampling, (k + 1)·γ/N in period k, at most 1. So blocks with high scores are on as often as
 * the scores say, as far as γ allows, and none waits much longer than it would with LISA.
 */
export function scoresOrVisits(): AdaptiveSampling {
  return new RuledSampling({
    ...{kind: 'scoresOrVisits', settings: {}, usesGradients: false},
    scores({periods, visits}, {blocks, probabilities, gamma}) {
      const due = ((periods + 1) * gamma) / blocks!.length;
      return blocks!.map((block, i) => {
        const missing = Math.min(1, Math.max(0, due - (visits[block] ?? 0)));
        return Math.max(probabilities[i]!, missing);
      });
    },
  });
}
