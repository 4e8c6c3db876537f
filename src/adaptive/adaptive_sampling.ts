/** What all adaptive samplings share: how a period is drawn, what is seen of the blocks, and how that is saved. */
import type * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {canReadSynchronously} from '../kernels/capabilities';
import type {AdaptiveSampling, AdaptiveStart} from '../layer_sampling_options';
import {display} from '../options';
import {randomOfPeriod} from '../random';
import {waterfill, type SamplingProbabilities} from '../sampling/probabilities';
import {createSampler, samplers} from '../sampling/samplers';
import {nothingSeen, seenFrom, type Seen} from './seen';

/** How scores follow from what was seen. */
export interface Rule {
  /** Name of the function that made it. */
  kind: string;
  settings: object;
  /** Whether it needs the norms of gradients. */
  usesGradients: boolean;
  /** Called before a draw, when a period has ended, unless all of its gradients were missing or not finite; may change `values`. */
  learn?(seen: Seen, sampling: SamplingProbabilities): void;
  /** Scores ≥ 0, not all 0, of the blocks of `sampling`, the probabilities from the callback's own scores, in their order. */
  scores(seen: Seen, sampling: SamplingProbabilities): number[];
  /** In `fit`, waited for before period `period` is drawn; `blocks` are the names of all blocks, also of those that cannot train. */
  prepare?(
    seen: Seen,
    model: tfl.LayersModel,
    period: number,
    blocks: readonly string[],
  ): Promise<void>;
}

/** Between the seeds of two periods: odd, and far from the small seeds that people choose. */
const PERIOD_STEP = 0x85ebca6b;

/** An {@link AdaptiveSampling} by a rule. */
export class RuledSampling implements AdaptiveSampling {
  private seen = nothingSeen();
  private start: AdaptiveStart | null = null;
  /** The block of each variable. */
  private blockOf = new Map<string, string>();
  readonly onGradients?: (names: readonly string[], squaredNorms: tf.Tensor1D) => void;

  constructor(private readonly rule: Rule) {
    if (rule.usesGradients) this.onGradients = (...args) => this.takeGradients(...args);
  }

  get probabilities(): SamplingProbabilities | null {
    return this.seen.probabilities;
  }

  begin(start: AdaptiveStart): void {
    const {sampler, variables, period} = start;
    if (!samplers[sampler].usesScores) {
      throw new Error(
        `${this.rule.kind}: sampler '${sampler}' draws all blocks equally often; use 'exact', 'bernoulli' or 'choice'`,
      );
    }
    if (this.rule.usesGradients && !canReadSynchronously()) {
      throw new Error(
        `${this.rule.kind}: reads norms of gradients within a step, which webgpu cannot do; use scoresOrVisits, or another backend`,
      );
    }
    if (period === 0) this.seen = nothingSeen();
    this.start = start;
    this.blockOf = new Map(
      [...variables].flatMap(([block, names]) => names.map((name) => [name, block] as const)),
    );
  }

  async prepare(model: tfl.LayersModel, period: number): Promise<void> {
    if (period < this.seen.periods) return;
    await this.rule.prepare?.(this.seen, model, period, [...(this.start?.variables.keys() ?? [])]);
  }

  draw(period: number): string[] {
    const {rule, seen, start} = this;
    const {sampling, sampler, seed} = start!;
    if (this.endPeriod()) rule.learn?.(seen, sampling);
    seen.probabilities = probabilitiesOf(rule.scores(seen, sampling), sampling);
    // From the seed and the period alone, so that a training that goes on draws as one that did not stop.
    const random = randomOfPeriod(seed, period, PERIOD_STEP);
    const indices = createSampler(sampler, seen.probabilities, random)();
    const blocks = indices.map((index) => sampling.blocks![index]!);
    for (const block of blocks) seen.visits[block] = (seen.visits[block] ?? 0) + 1;
    seen.current = {blocks, steps: 0, squares: {}, isTold: false};
    seen.periods++;
    return [...blocks];
  }

  getState(): object {
    return structuredClone({kind: this.rule.kind, ...this.seen});
  }

  setState(state: unknown): void {
    const seen = seenFrom(this.rule.kind, state);
    if (!seen) {
      throw new Error(
        `${this.rule.kind}: the state must be that of another ${this.rule.kind}; got ${display(state)}. Go on with the option ` +
          'adaptive that the training was begun with',
      );
    }
    this.seen = seen;
  }

  toJSON(): object {
    return {kind: this.rule.kind, ...this.rule.settings};
  }

  private takeGradients(names: readonly string[], squaredNorms: tf.Tensor1D): void {
    const {current} = this.seen;
    const isOther = !names.some((name) => this.blockOf.has(name));
    // An optimizer of several models tells of the steps of all of them.
    if (!current || isOther) return;
    current.isTold = true;
    const squares = squaredNorms.dataSync<'float32'>();
    // Such a step has changed nothing.
    if (!squares.every((square) => Number.isFinite(square))) return;
    current.steps++;
    names.forEach((name, i) => {
      const block = this.blockOf.get(name);
      if (block === undefined) return;
      current.squares[block] = (current.squares[block] ?? 0) + squares[i]!;
    });
  }

  /** Takes over what was seen of the blocks of the period that has ended; returns whether anything was. */
  private endPeriod(): boolean {
    const {current, norms} = this.seen;
    if (!current) return false;
    if (!this.rule.usesGradients) return true;
    if (current.steps === 0) {
      if (current.isTold !== false || current.blocks.length === 0) return false;
      throw new Error(
        `${this.rule.kind}: saw no gradient in a period; it needs an OwLoreOptimizer whose nonFinite is not 'ignore'`,
      );
    }
    for (const block of current.blocks)
      norms[block] = Math.sqrt((current.squares[block] ?? 0) / current.steps);
    return true;
  }
}

/** The probabilities of some scores with the γ and the floor of `sampling`; where one would pass 1, the others are raised. */
function probabilitiesOf(
  scores: readonly number[],
  sampling: SamplingProbabilities,
): SamplingProbabilities {
  const {floor, gamma} = sampling;
  const total = scores.reduce((sum, score) => sum + score, 0);
  // None is 0, so that there are always γ blocks to draw.
  const least = 1e-9;
  const shares = scores.map((score) => {
    const share = (1 - floor) * (score / total) + floor / scores.length;
    return (share + least) / (1 + least * scores.length);
  });
  return {...sampling, shares, probabilities: waterfill(shares, gamma), method: 'waterfill'};
}
