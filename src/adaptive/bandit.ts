import type {AdaptiveSampling} from '../layer_sampling_options';
import {checkKnown, checkNumber, definedIn} from '../options';
import {RuledSampling} from './adaptive_sampling';

/** Options of {@link bandit}. */
export interface BanditOptions {
  /** How fast weights change, > 0. Default 0.1. */
  learningRate?: number;
  /** Part of the uniform distribution mixed in, 0 to 1, so that each block goes on being tried. Default 0.1. */
  exploration?: number;
}

const defaults = {learningRate: 0.1, exploration: 0.1};

/**
 * Draws blocks as an adversarial bandit with several plays: EXP3 (Auer, Cesa-Bianchi, Freund & Schapire 2002; several plays: Uchiya et
 * al. 2010), as it is used for the sampling of gradients (Salehi et al. 2017, arXiv 1708.02544). The reward of a block that was on is the
 * norm of its gradient in that period, divided by the largest that any block has had last; its weight is multiplied by
 * exp(η·reward/p), where p was its probability. Weights begin as the callback's shares.
 *
 * Needs what {@link gradientNorms} needs.
 *
 * @throws Error that names the option, its value and what is allowed.
 */
export function bandit(options: BanditOptions = {}): AdaptiveSampling {
  checkKnown('bandit', options, Object.keys(defaults));
  const settings = {...defaults, ...definedIn(options)};
  const {learningRate, exploration} = settings;
  checkNumber('bandit', 'learningRate', learningRate, {exclusiveMin: 0});
  checkNumber('bandit', 'exploration', exploration, {min: 0, max: 1});
  return new RuledSampling({
    ...{kind: 'bandit', settings, usesGradients: true},
    /** `values` are logarithms of how much the weights have grown. */
    learn({norms, values, current, probabilities}) {
      const largest = Math.max(...Object.values(norms));
      const {blocks, probabilities: drawnBy} = probabilities!;
      for (const block of current?.blocks ?? []) {
        const reward = largest > 0 ? norms[block]! / largest : 0;
        const p = drawnBy[blocks!.indexOf(block)]!;
        values[block] = (values[block] ?? 0) + (learningRate * reward) / p;
      }
    },
    scores({values}, {blocks, shares}) {
      // Those without a share have no weight, however much they have grown.
      const grown = blocks!.map((block, i) => (shares[i]! > 0 ? (values[block] ?? 0) : -Infinity));
      const most = Math.max(...grown);
      const weights = grown.map((growth, i) => shares[i]! * Math.exp(growth - most));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      return weights.map(
        (weight) => (1 - exploration) * (weight / total) + exploration / weights.length,
      );
    },
  });
}
