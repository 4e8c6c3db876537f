import * as tf from '@tensorflow/tfjs-core';
import {smallestNormal} from '../kernels/capabilities';
import type {ResolvedOwLoreOptions} from './owlore_options';
import {UNIT} from './finite_check';
import {ifFinite, type StateStore} from './state';
import {tidy} from '../tfjs/engine';

/** Whether a step needs the norm of its whole gradients, before they are projected. */
export function limitsNorm({clipNorm, normGrowth}: NormOptions): boolean {
  return clipNorm !== null || normGrowth !== null;
}

type NormOptions = Pick<ResolvedOwLoreOptions, 'clipNorm' | 'normGrowth'>;

/** Finds the factor by which a step's gradients are scaled down, for `clipNorm` and `normGrowth`. */
export class NormLimit {
  /** The global norm of the last step, as scaled; 0 if that step changed nothing. null: there is none. It is kept. */
  norm: tf.Scalar | null = null;
  /** That of the step that is being made. */
  private next: tf.Scalar | null = null;

  /**
   * @param states They know the variables whose gradients are in it.
   * @param options Those of the optimizer.
   */
  constructor(
    private readonly states: Pick<StateStore, 'measured'>,
    private readonly options: NormOptions,
  ) {}

  /**
   * The scalar that every gradient of the step is to be multiplied by, at most 1; null: 1. It is not read back. After
   * {@link startFor}. Where a squared norm is beyond float32, the global norm is also limited to {@link MOST}.
   *
   * @param squaredNorms ‖G‖² of each variable.
   * @param scaledNorms ‖2⁻⁸⁰·G‖² of each variable; null: all squares and their sum are within float32.
   * @param allFinite Boolean scalar; false if the step will change nothing. null: true.
   */
  factor(
    squaredNorms: readonly tf.Scalar[],
    scaledNorms: readonly tf.Scalar[] | null,
    allFinite: tf.Tensor | null,
  ): tf.Scalar | null {
    const {clipNorm, normGrowth} = this.options;
    if (!limitsNorm(this.options) && !scaledNorms) return null;
    return tidy('normLimit', () => {
      let norm: tf.Scalar = tf.sqrt(tf.sum(tf.stack([...squaredNorms])));
      const factors: tf.Scalar[] = [];
      if (scaledNorms) {
        const isWithin = tf.isFinite(norm);
        norm = tf.where(isWithin, norm, tf.div(tf.sqrt(tf.sum(tf.stack([...scaledNorms]))), UNIT));
        factors.push(tf.where(isWithin, tf.scalar(1), tf.div(MOST, norm)));
      }
      if (clipNorm !== null) factors.push(clipFactor(norm, clipNorm));
      if (normGrowth !== null && this.norm) {
        factors.push(growthFactor(norm, this.norm, normGrowth));
      }
      const factor =
        factors.length > 0 ? factors.reduce((a, b): tf.Scalar => tf.minimum(a, b)) : null;
      if (normGrowth === null) return factor;
      const scaled = factor ? tf.mul<tf.Scalar>(norm, factor) : norm;
      this.next?.dispose();
      this.next = tf.keep(ifFinite(allFinite, scaled, this.norm ?? tf.scalar(0)));
      return factor;
    });
  }

  /** Takes the names of the variables of a step. If the last norm is of others, it is forgotten. */
  startFor(names: readonly string[]): void {
    const {measured} = this.states;
    if (this.options.normGrowth === null) return;
    if (names.length === measured.size && names.every((name) => measured.has(name))) return;
    this.clear();
    this.states.measured = new Set(names);
  }

  /** The step is made. */
  advance(): void {
    if (!this.next) return;
    this.norm?.dispose();
    this.norm = this.next;
    this.next = null;
  }

  /** Forgets the last norm. */
  clear(): void {
    this.norm?.dispose();
    this.next?.dispose();
    this.norm = this.next = null;
    this.states.measured = new Set();
  }
}

/**
 * The largest global norm where the squared norm is beyond float32: Adam's second moments would be, too, and what is infinite once moves
 * nothing any more. Adam's step depends little on it, because it does not change with the scale of the gradients.
 */
const MOST = 2 ** 60;

/** PyTorch's guard against a norm of zero (`torch.nn.utils.clip_grad_norm_`). */
const CLIP_EPSILON = 1e-6;

/** min(1, clipNorm/(norm + 1e-6)), as PyTorch's. */
function clipFactor(norm: tf.Scalar, clipNorm: number): tf.Scalar {
  return tf.minimum(1, tf.div(clipNorm, tf.add(norm, CLIP_EPSILON)));
}

/**
 * min(1, γ·last/norm), and 1 after a norm of 0. Without PyTorch's 1e-6, which would let gradients whose norm stays below 1e-4
 * shrink in every step.
 */
function growthFactor(norm: tf.Scalar, last: tf.Scalar, growth: number): tf.Scalar {
  const most = tf.mul<tf.Scalar>(last, growth);
  const exceeds = tf.logicalAnd(tf.greater(last, 0), tf.greater(norm, most));
  return tf.where(exceeds, tf.div(most, tf.maximum(norm, smallestNormal())), tf.scalar(1));
}
