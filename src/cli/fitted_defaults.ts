/** The paper's defaults, lowered for models and data that are too small for them. */
import {fittedGamma} from '../owlore/sampling/block_probabilities';
import {fittedInterval} from '../owlore/sampling/periods';
import type {Given} from './options';
import {counted} from './words';

/** The sizes that limit the defaults. */
export interface Sizes {
  blocks: number;
  /** Steps of the run. */
  steps: number;
}

/** Fits defaults to a run, and describes in one line which were changed. */
export class FittedDefaults {
  private readonly changes: string[] = [];

  /** @param given Options that were given are not touched. */
  constructor(private readonly given: Given) {}

  /** A default, or `limit` where it is above that. */
  atMost(name: string, value: number, limit: number, why: string): number {
    return value > limit ? this.instead(name, value, limit, why) : value;
  }

  /** γ as the callback lowers it, see `fittedGamma`; `scored` blocks have a score above 0. */
  gamma(value: number, {blocks}: Sizes, scored = blocks): number {
    // Without any score there is nothing to draw, which is reported elsewhere.
    const gamma = fittedGamma(value, blocks, scored || blocks);
    const why =
      scored < blocks
        ? `${counted(scored, 'block has', 'blocks have')} a score`
        : `of ${counted(blocks, 'block')}`;
    return this.instead('gamma', value, gamma, why);
  }

  /** The interval, short enough for the run as the callback's `'auto'` is. */
  interval(value: number, {steps}: Sizes): number {
    return this.atMost('interval', value, fittedInterval(steps), counted(steps, 'step'));
  }

  /** `fitted` in place of the default `value`, noted for the line; a value that was given stays. */
  instead<T extends number | string>(name: string, value: T, fitted: T, why: string): T {
    if (this.given.has(name) || fitted === value) return value;
    this.changes.push(`${name} ${value} → ${fitted} (${why})`);
    return fitted;
  }

  /** The changes in one line; null if there are none. */
  line(): string | null {
    return this.changes.length === 0
      ? null
      : `the paper's defaults, fitted: ${this.changes.join(', ')}`;
  }
}
