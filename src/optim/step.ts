import * as tf from '@tensorflow/tfjs-core';
import {readsSynchronously} from '../kernels/capabilities';
import {clipFactor, squaredNorm, type FiniteCheck} from './finite_check';
import type {Projections} from './projector';
import {rememberClocks, type StateStore} from './state';
import {
  applyUpdates,
  isRefreshDue,
  projectGradient,
  type StepSettings,
  type Update,
} from './update';

/** Becomes the owner of a variable's gradient. If it is projected already, it is R in the subspace of the present basis. */
export type OnGradient = (
  variable: tf.Variable,
  gradient: tf.Tensor,
  options?: {isProjected: boolean},
) => void;

/**
 * One step of all variables: their gradients are projected one by one, in any order, then checked together, then applied.
 * Nothing is changed before {@link apply}, which takes all that were projected since the last time.
 */
export class Step {
  /** Names of the variables that brought a gradient. */
  readonly variables = new Set<string>();
  private readonly waiting: Update[] = [];
  /** ‖g‖² of each gradient, or of R where that is enough, and ‖P‖² of each basis that nobody could look at. */
  private readonly norms = {
    gradient: new Map<string, tf.Scalar>(),
    basis: new Map<string, tf.Scalar>(),
  };
  /** Bases that this step has made for variables that had none. */
  private firstBases = 0;

  /** @param settings `clip` and `allFinite` are set by {@link check}. */
  constructor(
    private readonly settings: StepSettings,
    private readonly states: StateStore,
    private readonly projections: Projections,
    private readonly finiteCheck: FiniteCheck,
  ) {}

  /** Whether the gradients have to be checked together, so that each waits for the others. */
  get isChecked(): boolean {
    const {clipNorm, nonFinite} = this.settings.options;
    return clipNorm !== null || nonFinite !== 'ignore';
  }

  /** Takes the gradient of a variable, projects it, and frees it if it is not needed any more. */
  project(variable: tf.Variable, gradient: tf.Tensor, {isProjected = false} = {}): void {
    const {options} = this.settings;
    const {name} = variable;
    this.variables.add(name);
    const state = this.states.of(name);
    const projection = this.projections.of(variable);
    const given: Update = {variable, projection, state, gradient, newBasis: null, basisAge: 0};
    tf.tidy(() => {
      // R, which is smaller, is finite if the gradient is. A new basis of one that is not is neither, and does not tell NaN from
      // infinite.
      const isWhole = options.clipNorm !== null || isProjected || isRefreshDue(state, options);
      if (isWhole) this.measure('gradient', name, gradient);
      const update = isProjected ? given : projectGradient(given, options);
      if (!isWhole) this.measure('gradient', name, update.gradient);
      if (update.newBasis) {
        if (!state.basis) update.basisAge = this.nextAge();
        // Else it is one of our own, or was looked at.
        if (typeof options.basis === 'function' && !readsSynchronously()) {
          this.measure('basis', name, update.newBasis);
        }
        tf.keep(update.newBasis);
      }
      if (update.gradient !== gradient) gradient.dispose();
      tf.keep(update.gradient);
      this.waiting.push(update);
    });
  }

  /**
   * Looks for numbers that are not finite, and finds the clip factor.
   *
   * @returns false if the step is to be skipped.
   * @throws Error as {@link FiniteCheck.checkFinite} does.
   */
  check(): boolean {
    const {gradient, basis} = this.norms;
    if (gradient.size === 0) return true;
    const {clipNorm} = this.settings.options;
    const squared = tf.stack([...gradient.values()]) as tf.Tensor1D;
    const all = basis.size === 0 ? squared : tf.stack([...gradient.values(), ...basis.values()]);
    const names = Object.entries(this.norms).flatMap(([what, norms]) =>
      [...norms.keys()].map((name) => `${what} of '${name}'`),
    );
    const undo = rememberClocks(this.waiting.map(({state}) => state));
    const allFinite = this.finiteCheck.checkFinite(names, all as tf.Tensor1D, undo);
    if (allFinite instanceof tf.Tensor) this.settings.allFinite = allFinite;
    if (clipNorm !== null) this.settings.clip = clipFactor(squared, clipNorm);
    return allFinite !== false;
  }

  /** Moves the weights of all variables whose gradients wait, and their states. */
  apply(): void {
    applyUpdates(this.waiting, this.settings);
    this.dispose();
  }

  /** Frees what waits; a basis only if it has not become the state's. */
  dispose(): void {
    for (const {state, gradient, newBasis} of this.waiting.splice(0)) {
      gradient.dispose();
      if (state.basis !== newBasis) newBasis?.dispose();
    }
    for (const norms of Object.values(this.norms)) {
      tf.dispose([...norms.values()]);
      norms.clear();
    }
  }

  private measure(what: 'gradient' | 'basis', name: string, x: tf.Tensor): void {
    if (this.isChecked) this.norms[what].set(name, tf.keep(squaredNorm(x)));
  }

  /**
   * The age of the next first basis. With `stagger` from 0 to below the refresh interval: multiples of the golden ratio divide
   * it evenly, however many there will be.
   */
  private nextAge(): number {
    const {stagger, refreshInterval} = this.settings.options;
    if (!stagger) return 0;
    const part = (this.firstBases++ * GOLDEN_RATIO) % 1;
    return Math.floor(part * refreshInterval);
  }
}

const GOLDEN_RATIO = (1 + Math.sqrt(5)) / 2;
