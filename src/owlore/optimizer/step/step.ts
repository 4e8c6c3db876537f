import * as tf from '@tensorflow/tfjs-core';
import {computesInFloat16, readsSynchronously} from '../../../kernels/capabilities';
import {squaredNorm} from '../../../kernels/norms';
import {selects} from '../../../model/variable_selector';
import {tidyWith} from '../../../tape/gradient';
import type {ResolvedOwLoreOptions} from '../options';
import {LOSS, UNIT, type FiniteCheck} from './finite_check';
import {gradientOf} from './gradient';
import {normFactor} from './norm_limit';
import type {Projection, Projections} from '../state/projector';
import {updateRules} from '../rules';
import {clocksOf, type StateStore} from '../state/state';
import type {StepSettings, Update} from './pending_update';
import {applyUpdates, projectGradient, refreshes} from './update';
import {isRefreshDue} from '../state/basis';

/**
 * Called with the gradient of a variable, which it has to dispose of. With `isProjected` the gradient is already R, in the
 * subspace of the state's basis.
 */
export type OnGradient = (
  variable: tf.Variable,
  gradient: tf.Tensor,
  options?: {isProjected: boolean},
) => void;

/**
 * One step of all variables: their gradients are projected one by one, in any order, then checked together, then applied.
 * Nothing is changed before {@link apply}, which takes all gradients that were projected since its last call.
 */
export class Step {
  /** Names of the variables that brought a gradient. */
  readonly variables = new Set<string>();
  private readonly waiting: Update[] = [];
  /** ‖G‖² of each variable, or ‖R‖² where that is enough; it may be beyond float32. */
  private readonly gradientNorms = new Map<string, tf.Scalar>();
  /** ‖2⁻⁸⁰·G‖² of those whose ‖G‖² is beyond float32, or may be, and whose G will not be there when that matters. */
  private readonly scaledNorms = new Map<string, tf.Scalar>();
  /** What else is to be checked, by its description: the loss, and ‖P‖² of each new basis that could not be read yet. */
  private readonly otherNumbers = new Map<string, tf.Scalar>();

  /** @param settings `clip` and `allFinite` are set by {@link check}. */
  constructor(
    private readonly settings: StepSettings,
    private readonly states: StateStore,
    private readonly projections: Projections,
    private readonly finiteCheck: FiniteCheck,
  ) {}

  /** Whether the gradients have to be checked together, so that each has to wait for the others. */
  get needsCheck(): boolean {
    const {options} = this.settings;
    return options.clipNorm !== null || options.nonFinite !== 'ignore';
  }

  /** Takes the gradient of a variable, projects it, and frees it if it is not needed any more. */
  project(variable: tf.Variable, tensor: tf.Tensor, {isProjected = false} = {}): void {
    this.variables.add(variable.name);
    tidyWith(tensor, () => {
      const {options} = this.settings;
      const projection = this.projections.of(variable);
      const gradient = gradientOf(tensor, variable, projection, options);
      const begun = this.begun(variable, projection, gradient.tensor, isProjected);
      // ‖R‖ would be cheaper, and R is finite if the gradient is. But an infinite gradient may make a new basis and R NaN, and
      // the error should name the gradient's value.
      const isWhole =
        !isProjected && (options.clipNorm !== null || isRefreshDue(begun.state, options));
      const isMeasured = isWhole && this.needsCheck;
      const {update, squaredNorm} = isProjected
        ? {update: begun, squaredNorm: null}
        : projectGradient(begun, gradient, this.settings, isMeasured);
      if (isMeasured) this.note(variable.name, squaredNorm!, () => gradient.squaredNorm(UNIT));
      else if (!isWhole) this.measure(update);
      refreshes.loaded?.finish(this.waiting, options, this.keep, update);
      this.keep(update, tensor);
    });
  }

  /** The update of a variable before its gradient is projected. */
  private begun(
    variable: tf.Variable,
    projection: Projection | null,
    gradient: tf.Tensor,
    isProjected: boolean,
  ): Update {
    const {options} = this.settings;
    const {needsWholeGradient} = updateRules[options.update];
    return {
      ...{variable, projection, state: this.states.of(variable.name), gradient, newBasis: null},
      // A sum that was begun as one of R, under other options, has no G: it moves the matrix in the subspace alone.
      whole: projection && !isProjected && needsWholeGradient ? gradient : null,
      weightDecay: weightDecayOf(variable, options),
      rateFactor: rateFactorOf(variable, options),
    };
  }

  /** Keeps an update until it is applied; the variable's gradient is freed if it is not needed any more. */
  private readonly keep = (update: Update, gradient: tf.Tensor): void => {
    const {options} = this.settings;
    const {newBasis} = update;
    if (newBasis) {
      // This library's bases are finite if the gradient is; a user's basis was already checked where it could be read.
      if (typeof options.basis === 'function' && !readsSynchronously())
        this.alsoCheck(`basis of '${update.variable.name}'`, () => squaredNorm(newBasis));
      tf.keep(newBasis);
    }
    if (update.whole) tf.keep(update.whole);
    if (update.gradient !== gradient && update.whole !== gradient) gradient.dispose();
    tf.keep(update.gradient);
    this.waiting.push(update);
  };

  /** Takes the loss of the step, or the sum of its calls' losses; it stays the caller's. */
  takeLoss(loss: tf.Scalar): void {
    this.alsoCheck(LOSS, () => tf.cast(loss, 'float32'));
  }

  /**
   * Looks for numbers that are not finite, and finds the factor that limits the norm.
   *
   * @returns false if there is nothing to apply, or the step is to be skipped.
   * @throws Error as {@link FiniteCheck.checkFinite} does.
   */
  check(): boolean {
    const {gradientNorms, otherNumbers} = this;
    if (gradientNorms.size === 0) return false;
    const variables = [...gradientNorms.keys()];
    const norms = [...gradientNorms.values()];
    const others = [...otherNumbers.values()];
    const names = [...variables.map((name) => `gradient of '${name}'`), ...otherNumbers.keys()];
    const clocks = clocksOf(this.waiting.map(({state}) => state));
    let numbers = tf.stack([...norms, ...others]) as tf.Tensor1D;
    const values = readsSynchronously() ? numbers.dataSync<'float32'>() : null;
    const scaled = this.scaledSquares(values);
    if (scaled) {
      // An error names the value that G itself has there: of an infinity R may have made a NaN.
      const both = tf.stack([...scaled, ...others]) as tf.Tensor1D;
      numbers = tf.where(tf.isFinite(both), both, numbers);
    }
    const allFinite = this.finiteCheck.checkFinite(names, numbers, clocks);
    if (allFinite === false) return false;
    const onDevice = allFinite === true ? null : allFinite;
    this.settings.allFinite = onDevice;
    this.settings.clip = normFactor(norms, scaled, this.settings.options.clipNorm);
    return true;
  }

  /** Moves the weights and states of all variables whose gradients wait. */
  apply(): void {
    refreshes.loaded?.finish(this.waiting, this.settings.options, this.keep);
    applyUpdates(this.waiting, this.settings);
    this.dispose();
  }

  /** Frees the waiting gradients, and new bases that have not become the state's. */
  dispose(): void {
    for (const {state, gradient, whole, newBasis} of this.waiting.splice(0)) {
      gradient.dispose();
      whole?.dispose();
      if (state.basis !== newBasis) newBasis?.dispose();
    }
    for (const numbers of [this.gradientNorms, this.scaledNorms, this.otherNumbers]) {
      tf.dispose([...numbers.values()]);
      numbers.clear();
    }
  }

  /** Notes the squared norm of the gradient of an update, or of R where it is projected. */
  private measure({variable, gradient}: Update): void {
    if (!this.needsCheck) return;
    this.note(variable.name, squaredNorm(gradient), () => scaledSquaredNorm(gradient));
  }

  /** Notes the squared norm of a gradient; `scaled` is that of 2⁻⁸⁰ times it. */
  private note(name: string, squares: tf.Scalar, scaled: () => tf.Scalar): void {
    this.gradientNorms.set(name, tf.keep(squares));
    if (computesInFloat16()) return;
    // Where no value can be read, nobody knows whether it is needed. Otherwise R, which waits, can be asked when it is; only a norm
    // that is limited (`clipNorm`) must be that of G, which will be gone.
    const isNeeded = readsSynchronously()
      ? this.settings.options.clipNorm !== null &&
        !Number.isFinite(squares.dataSync<'float32'>()[0])
      : true;
    if (isNeeded) this.scaledNorms.set(name, tf.keep(scaled()));
  }

  /**
   * ‖2⁻⁸⁰·G‖² of each variable; null if none is needed: all squares, and their sum, are within float32.
   *
   * @param values Begin with the squares, if they can be read.
   */
  private scaledSquares(values: Float32Array | null): tf.Scalar[] | null {
    const {gradientNorms, scaledNorms, waiting} = this;
    if (computesInFloat16()) return null;
    const squares = values?.subarray(0, gradientNorms.size);
    if (squares && Number.isFinite(Math.fround(squares.reduce((sum, x) => sum + x, 0))))
      return null;
    return [...gradientNorms].map(([name, norm], i) => {
      const known = scaledNorms.get(name);
      if (known) return known;
      if (Number.isFinite(squares![i])) return tf.mul(tf.mul(norm, UNIT), UNIT);
      const {whole, gradient} = waiting.find(({variable}) => variable.name === name)!;
      return scaledSquaredNorm(whole ?? gradient);
    });
  }

  private alsoCheck(description: string, compute: () => tf.Scalar): void {
    this.otherNumbers.set(description, tf.keep(compute()));
  }
}

/** λ of a variable; 0 if it does not decay. */
function weightDecayOf(variable: tf.Variable, {decay, weightDecay}: ResolvedOwLoreOptions): number {
  const decays = decay === 'auto' ? variable.rank >= 2 : selects(decay, variable);
  return decays ? weightDecay : 0;
}

/** What η is multiplied by for a variable: the factor of its group. */
function rateFactorOf(variable: tf.Variable, {learningRates}: ResolvedOwLoreOptions): number {
  return learningRates?.find(({variables}) => selects(variables, variable))?.factor ?? 1;
}

/** ‖2⁻⁸⁰·g‖². */
function scaledSquaredNorm(gradient: tf.Tensor): tf.Scalar {
  return tf.tidy(() => squaredNorm(tf.mul(gradient, UNIT)));
}
