import * as tf from '@tensorflow/tfjs-core';
import type {Moments} from './adam';
import {basisShape, projectedShape, type Projection} from './projector';

/** What the optimizer remembers of one variable between steps. The tensors belong to the {@link StateStore}. */
export interface VariableState {
  /** Adam's moments, of the variable's shape or, if it is projected, of R's; null before the first step. */
  moments: Moments | null;
  /** Adam steps that the moments have seen: the clock of the bias correction. */
  adamSteps: number;
  /** Basis of the projection; null for a variable that is not projected, or before its first step. */
  basis: tf.Tensor2D | null;
  /** Steps done with this basis. */
  basisSteps: number;
  /** Sum of the gradients of the step that is being accumulated; null between steps. */
  gradientSum: tf.Tensor | null;
  /** The same in the subspace of the basis, ΣPᵀG, in its place where that is enough. */
  projectedSum: tf.Tensor | null;
}

/** A state before its variable's first step. */
export function emptyState(): VariableState {
  return {
    moments: null,
    adamSteps: 0,
    basis: null,
    basisSteps: 0,
    gradientSum: null,
    projectedSum: null,
  };
}

/** States by variable name, made lazily: a variable that is never trained has none. */
export class StateStore {
  private states = new Map<string, VariableState>();
  /** Names that came from a saved model; the variables of the loaded one may be called otherwise. */
  private readonly restored = new Set<string>();

  /** The state of the variable called `name`; a new, empty one the first time. */
  of(name: string): VariableState {
    let state = this.find(name);
    if (!state) {
      state = emptyState();
      this.states.set(name, state);
    }
    this.restored.delete(name);
    return state;
  }

  /** The state of the variable called `name`, if it has one. */
  find(name: string): VariableState | undefined {
    return this.states.get(name) ?? this.adopt(name);
  }

  /** Frees the states of all variables but those called `names`. */
  retain(names: ReadonlySet<string>): void {
    for (const name of names) if (!this.states.has(name)) this.adopt(name);
    for (const [name, state] of this.states) {
      if (names.has(name)) continue;
      tf.dispose(stateTensors(state));
      this.states.delete(name);
      this.restored.delete(name);
    }
  }

  /** Bytes of all tensors. */
  get bytes(): number {
    const tensors = [...this.states.values()].flatMap(stateTensors);
    return tensors.reduce((sum, {size, dtype}) => sum + size * tf.util.bytesPerElement(dtype), 0);
  }

  entries(): Iterable<[string, VariableState]> {
    return this.states.entries();
  }

  /** Frees all states and takes over saved ones. */
  restore(saved: Map<string, VariableState>): void {
    this.retain(new Set());
    this.states = saved;
    for (const name of saved.keys()) this.restored.add(name);
  }

  /**
   * Moves the saved state of a renamed variable to its new name: where a name is taken tfjs appends `_1`, `_2`, …, so a
   * loaded variable, or the one it was saved from, may carry such an ending.
   */
  private adopt(name: string): VariableState | undefined {
    const saved = [...this.restored];
    const found =
      saved.find((candidate) => candidate === withoutCounter(name)) ??
      saved.find((candidate) => withoutCounter(candidate) === name) ??
      saved.find((candidate) => withoutCounter(candidate) === withoutCounter(name));
    if (found === undefined) return undefined;
    const state = this.states.get(found)!;
    this.states.delete(found);
    this.restored.delete(found);
    this.states.set(name, state);
    return state;
  }
}

function withoutCounter(name: string): string {
  return name.replace(/_\d+$/, '');
}

/**
 * Remembers the clocks of some states before a step. The result, for a step that turned out to have changed nothing, sets
 * them back; a state without moments then is without again. Steps that were begun before that was known are not counted
 * either.
 */
export function rememberClocks(states: readonly VariableState[]): () => void {
  const remembered = states.map((state) => ({...state, state}));
  return () => {
    for (const {state, moments, adamSteps, basisSteps} of remembered) {
      if (moments) Object.assign(state, {adamSteps, basisSteps});
      else forgetSteps(state);
    }
  };
}

/** Frees what the steps so far have left, and with the basis what was projected on it. */
function forgetSteps(state: VariableState): void {
  const {gradientSum} = state;
  tf.dispose(stateTensors({...state, gradientSum: null}));
  Object.assign(state, {...emptyState(), gradientSum});
}

/** All tensors of a state. */
function stateTensors(state: VariableState): tf.Tensor[] {
  const {moments, basis, gradientSum, projectedSum} = state;
  const tensors = [moments?.first, moments?.second, basis, gradientSum, projectedSum];
  return tensors.flatMap((tensor) => tensor ?? []);
}

/** Throws if a variable's state is of another shape than its update needs. */
export function checkState(
  {name, shape}: tf.Variable,
  {moments, basis}: VariableState,
  projection: Projection | null,
): void {
  const momentsShape = projection ? projectedShape(projection) : shape;
  const fits =
    (!moments || tf.util.arraysEqual(moments.first.shape, momentsShape)) &&
    (!basis || (projection && tf.util.arraysEqual(basis.shape, basisShape(projection))));
  if (fits) return;
  throw new Error(
    `OwLoreOptimizer: the state of '${name}' has moments of shape [${moments?.first.shape}], the options ask for ` +
      `[${momentsShape}]; use the rank, side, project and blocks that it was made with, or dispose() to start anew`,
  );
}
