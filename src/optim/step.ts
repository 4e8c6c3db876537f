import * as tf from '@tensorflow/tfjs-core';
import {selects, type VariableSelector} from '../model/variable_selector';
import type {FiniteCheck} from './finite_check';
import {isOwnBasis, type BasisFunction} from './basis';
import {clipFactor, squaredNorm} from './gradient_norm';
import {readsSynchronously} from './read_back';
import type {Projections} from './projections';
import {rememberClocks, type StateStore} from './state';
import {
  isRefreshDue,
  prepareGradient,
  makeReady,
  updateVariables,
  type PreparedGradient,
  type UpdateRule,
} from './update';
import type {StepSettings} from './step_settings';

const GOLDEN_RATIO = (1 + Math.sqrt(5)) / 2;

/** What is the same for all variables in all steps. */
export interface StepRule extends UpdateRule {
  weightDecay: number;
  /** Which variables decay; `'auto'`: those of two or more axes. */
  decay: 'auto' | VariableSelector;
  clipNorm: number | null;
  nonFinite: 'throw' | 'skip' | 'ignore';
  stagger: boolean;
}

/** What all steps of an optimizer share. */
export interface StepContext {
  rule: StepRule;
  states: StateStore;
  projections: Projections;
  finiteCheck: FiniteCheck;
}

/** Becomes the owner of a variable's gradient. If it is projected already, it is R in the subspace of the present basis. */
export type GradientTaker = (
  variable: tf.Variable,
  gradient: tf.Tensor,
  options?: {isProjected: boolean},
) => void;

/** A gradient that waits for its update; its tensors are kept. */
interface WaitingGradient extends PreparedGradient {
  variable: tf.Variable;
  /** ‖g‖² of the whole gradient, or ‖R‖² where that is enough; null if nobody asks for it. */
  squaredNorm: tf.Scalar | null;
  /** That of a new basis whose values nobody could look at. */
  basisNorm: tf.Scalar | null;
}

/** What comes of looking at all gradients of a step together. */
type Judgement = Pick<StepSettings, 'clip' | 'mask'>;

/**
 * One step: takes the gradients of its variables one after the other, in any order, and moves the weights.
 *
 * If the gradients have to be judged together, for `nonFinite` or `clipNorm`, they wait, projected where that can be done,
 * and nothing is changed before {@link finish}. If not, each variable is updated as soon as its gradient is there.
 */
export class Step {
  /** Names of the variables that brought a gradient. */
  readonly variables = new Set<string>();
  private readonly waiting: WaitingGradient[] = [];
  private readonly isJudged: boolean;
  /** Bases that this step has made for variables that had none. */
  private firstBases = 0;

  constructor(
    private readonly context: StepContext,
    private readonly settings: Pick<StepSettings, 'learningRate' | 'onRefresh'>,
  ) {
    const {clipNorm, nonFinite} = context.rule;
    this.isJudged = clipNorm !== null || nonFinite !== 'ignore';
  }

  /** Takes the gradient of a variable, and disposes of it when it is not needed any more. */
  take(variable: tf.Variable, gradient: tf.Tensor, {isProjected = false} = {}): void {
    this.variables.add(variable.name);
    tf.tidy(() => this.waiting.push(keep(this.prepare(variable, gradient, isProjected))));
    if (this.isJudged) return;
    this.update({clip: null, mask: null});
    this.dispose();
  }

  /**
   * Judges the gradients and moves the weights. Whatever comes of it, nothing waits any more.
   *
   * @throws Error for a gradient that is not finite, as {@link FiniteCheck.judge} does; nothing was changed then.
   */
  finish(): void {
    try {
      tf.tidy(() => {
        const judgement = this.judge();
        if (judgement) this.update(judgement);
      });
    } finally {
      this.dispose();
    }
  }

  /** Frees what waits; its basis only if it has not become the state's. */
  dispose(): void {
    for (const {variable, newBasis, ...prepared} of this.waiting.splice(0)) {
      prepared.gradient.dispose();
      prepared.squaredNorm?.dispose();
      prepared.basisNorm?.dispose();
      if (this.context.states.find(variable.name)?.basis !== newBasis) newBasis?.dispose();
    }
  }

  private prepare(
    variable: tf.Variable,
    gradient: tf.Tensor,
    isProjected: boolean,
  ): WaitingGradient {
    const {rule, states, projections} = this.context;
    const state = states.of(variable.name);
    const projection = isProjected ? null : projections.of(variable);
    // R, which is smaller, is finite if the gradient is. A new basis of one that is not is neither, and does not tell NaN from
    // infinite.
    const isWhole = rule.clipNorm !== null || !projection || isRefreshDue(state, rule);
    let norm = this.isJudged && isWhole ? squaredNorm(gradient) : null;
    const prepared = prepareGradient(variable, gradient, state, projection, rule);
    if (this.isJudged) norm ??= squaredNorm(prepared.gradient);
    if (prepared.newBasis && !state.basis && rule.stagger) prepared.basisAge = this.nextAge();
    if (prepared.gradient !== gradient) gradient.dispose();
    const basisNorm = this.isJudged ? normToJudge(prepared.newBasis, rule.basis) : null;
    return {variable, squaredNorm: norm, basisNorm, ...prepared};
  }

  /**
   * The age of the next first basis, from 0 to below the refresh interval: multiples of the golden ratio divide it evenly,
   * however many there will be.
   */
  private nextAge(): number {
    const part = (this.firstBases++ * GOLDEN_RATIO) % 1;
    return Math.floor(part * this.context.rule.refreshInterval);
  }

  /** Null if a gradient is not finite and the step is to be skipped. */
  private judge(): Judgement | null {
    const norms = this.waiting.flatMap(({squaredNorm: norm}) => norm ?? []);
    if (norms.length === 0) return {clip: null, mask: null};
    const {rule, states, finiteCheck} = this.context;
    const names = this.waiting.map(({variable}) => variable.name);
    const squared = tf.stack(norms) as tf.Tensor1D;
    const undo = rememberClocks(names.map((name) => states.of(name)));
    const bases = this.waiting.filter(({basisNorm}) => basisNorm);
    const verdict = finiteCheck.judge(
      [
        ...names.map((name) => `gradient of '${name}'`),
        ...bases.map(({variable}) => `basis of '${variable.name}'`),
      ],
      bases.length === 0
        ? squared
        : (tf.stack([...norms, ...bases.map(({basisNorm}) => basisNorm!)]) as tf.Tensor1D),
      undo,
    );
    if (verdict === 'stop') return null;
    return {
      clip: rule.clipNorm === null ? null : clipFactor(squared, rule.clipNorm),
      mask: verdict === 'go' ? null : verdict,
    };
  }

  /** Updates the variables whose gradients wait. */
  private update(judgement: Judgement): void {
    const {rule, states, projections} = this.context;
    const step = {...this.settings, ...judgement};
    const ready = this.waiting.map((prepared) => {
      const {variable} = prepared;
      const decays = rule.decay === 'auto' ? variable.rank >= 2 : selects(rule.decay, variable);
      return makeReady(
        variable,
        prepared,
        states.of(variable.name),
        projections.of(variable),
        decays ? rule.weightDecay : 0,
        rule,
        step,
      );
    });
    updateVariables(ready, rule, step);
  }
}

/** ‖P‖² of a basis that the user's function has made, where it could not be read at once. */
function normToJudge(basis: tf.Tensor | null, basisFunction: BasisFunction): tf.Scalar | null {
  return basis && !isOwnBasis(basisFunction) && !readsSynchronously() ? squaredNorm(basis) : null;
}

/** Makes what waits outlive the scope in which it was made. */
function keep(prepared: WaitingGradient): WaitingGradient {
  const {gradient, newBasis, squaredNorm, basisNorm} = prepared;
  for (const tensor of [gradient, newBasis, squaredNorm, basisNorm]) {
    if (tensor) tf.keep(tensor);
  }
  return prepared;
}
