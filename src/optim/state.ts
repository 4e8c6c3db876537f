import * as tf from '@tensorflow/tfjs-core';
import type {Moments} from './adam';
import {basisShape, projectedShape, type Projection, type Projections} from './projector';
import {newestNumbers, numberOf, registeredVariable, withoutNumber} from './variables';

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

/** Keeps `next` beyond the surrounding tidy and frees `old`. */
export function replace<T extends tf.Tensor>(old: T, next: T): T {
  tf.keep(next);
  old.dispose();
  return next;
}

/** `next`; or `old` if the boolean scalar `allFinite`, where there is one, is false. */
export function ifFinite<T extends tf.Tensor>(allFinite: tf.Tensor | null, next: T, old: T): T {
  return allFinite ? tf.where(allFinite, next, old) : next;
}

/** Replaces a kept tensor by what `compute` makes of it, or by a copy if not all gradients are finite. */
export function renew<T extends tf.Tensor>(
  old: T,
  allFinite: tf.Tensor | null,
  compute: (old: T) => T,
): T {
  return replace(
    old,
    tf.tidy(() => ifFinite(allFinite, compute(old), old)),
  );
}

/** What is saved of a variable beside its state, for it may have another name when it is loaded. */
export interface SavedPlace {
  /** Its place among all variables of the last step, trainable or not; −1 if that step had not all of those with a state. */
  place: number;
  /** Largest number that a variable had at the end of a name that is else the same. */
  newest: number;
}

/** A variable's state as it is saved; null for one that has none and only its place. */
export type SavedStates = Map<string, SavedPlace & {state: VariableState | null}>;

/** States by variable name, made lazily: a variable that is never trained has none. */
export class StateStore {
  private states = new Map<string, VariableState>();
  /** Where the restored states belong, until the first step shows the variables. */
  private restored: SavedStates | null = null;
  /** Names of all variables of the last step. */
  private listed: readonly string[] = [];

  /** The state of the variable called `name`; a new, empty one the first time. */
  of(name: string): VariableState {
    let state = this.find(name);
    if (!state) {
      state = emptyState();
      this.states.set(name, state);
    }
    return state;
  }

  /** The state of the variable called `name`, if it has one. */
  find(name: string): VariableState | undefined {
    return this.states.get(name);
  }

  /** Frees the states of all variables but those called `names`. */
  retain(names: ReadonlySet<string>): void {
    for (const name of this.states.keys()) if (!names.has(name)) this.free(name);
  }

  /** Throws if the state of one of some variables is of another shape than its update needs. */
  check(variables: readonly tf.Variable[], projections: Projections): void {
    for (const variable of variables) {
      const state = this.find(variable.name);
      if (state) checkState(variable, state, projections.of(variable));
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

  /** All states with what {@link restore} needs to give them back. */
  toSave(): SavedStates {
    if (this.restored) return this.restored;
    const isWhole = [...this.states.keys()].every((name) => this.listed.includes(name));
    const names = isWhole ? this.listed : [...this.states.keys()];
    const newest = newestNumbers();
    return new Map(
      names.map((name, i) => [
        name,
        {
          state: this.find(name) ?? null,
          place: isWhole ? i : -1,
          newest: newest.get(withoutNumber(name)) ?? 0,
        },
      ]),
    );
  }

  /** Whether the states were restored, and {@link identify} has not told yet which variables there are. */
  get isUnidentified(): boolean {
    return this.restored !== null;
  }

  /** Frees all states and takes over saved ones. */
  restore(saved: SavedStates): void {
    this.retain(new Set());
    for (const [name, {state}] of saved) if (state) this.states.set(name, state);
    this.restored = saved;
  }

  /**
   * Tells the names of all variables of the step that follows, trainable or not, in the order in which its caller has them.
   * The first time after {@link restore} the saved states go to their variables, by name, or if tfjs has renamed the
   * variables by {@link renamings}. Those that fit none are freed, which one line says.
   */
  identify(names: readonly string[]): void {
    this.listed = names;
    const {restored} = this;
    this.restored = null;
    if (!restored || this.states.size === 0) return;
    const renamed = renamings(restored, names);
    // They may be those of another model that is there: it keeps them, and the one that is trained has none.
    const areOthers =
      renamed?.size === 0 && ![...restored.keys()].some((name) => names.includes(name));
    const lost: string[] = [];
    const states = [...this.states];
    this.states.clear();
    for (const [name, state] of states) {
      const isLost = renamed === null || (!renamed.has(name) && !registeredVariable(name));
      if (isLost) tf.dispose(stateTensors(state));
      else this.states.set(renamed.get(name) ?? name, state);
      if (isLost || areOthers) lost.push(name);
    }
    if (lost.length > 0) console.warn(lossMessage(lost));
  }

  private free(name: string): void {
    tf.dispose(stateTensors(this.states.get(name)!));
    this.states.delete(name);
  }
}

/**
 * The new names of saved variables that tfjs has renamed, which appends `_1`, `_2`, … to a name that was ever taken. They are
 * found all together or not at all: the variables must be as many as there were, and each name, up to such a number, the one in
 * its place. A saved name that a variable has belongs to that one, unless that is another model's: its variables were there
 * when the state was saved, and all the new ones were not.
 *
 * @returns null if the saved names are those of some of the variables, but in other places.
 */
function renamings(saved: SavedStates, names: readonly string[]): Map<string, string> | null {
  const none = new Map<string, string>();
  const before = [...saved].filter(([, {place}]) => place >= 0);
  before.sort(([, a], [, b]) => a.place - b.place);
  const isSame = (old: string, i: number): boolean =>
    [old, withoutNumber(old)].some((base) => [names[i]!, withoutNumber(names[i]!)].includes(base));
  const isWhole =
    before.length === saved.size &&
    before.length === names.length &&
    before.every(([old, {place}], i) => place === i && isSame(old, i));
  const areAllThere = [...saved.keys()].every((name) => names.includes(name));
  if (!isWhole || areAllThere) return none;
  if (before.some(([old], i) => old !== names[i] && names.includes(old))) return null;
  const isFree = ([old, {newest}]: (typeof before)[number], i: number): boolean =>
    old === names[i] || !registeredVariable(old) || numberOf(names[i]!) > newest;
  if (!before.every(isFree)) return null;
  return new Map(before.map(([old], i) => [old, names[i]!]));
}

function lossMessage(lost: readonly string[]): string {
  const others = lost.length > 1 ? ` and ${lost.length - 1} others` : '';
  return (
    `OwLoreOptimizer: it is not certain to which variables the saved state of '${lost[0]}'${others} belongs, so they start ` +
    'anew; load it before another model of the same layer names is made, or dispose of that one first'
  );
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

function checkState(
  {name, shape}: tf.Variable,
  state: VariableState,
  projection: Projection | null,
): void {
  if (fits(state, shape, projection)) return;
  const momentsShape = projection ? projectedShape(projection) : shape;
  throw new Error(
    `OwLoreOptimizer: the state of '${name}' has moments of shape [${state.moments?.first.shape}], the options ask for ` +
      `[${momentsShape}]; use the rank, side, project and blocks that it was made with, or dispose() to start anew`,
  );
}

/**
 * Throws if a saved state can be that of no variable that has its name, whatever the options are. One that was renamed counts,
 * too: the name may be another model's by now.
 */
export function checkFits(name: string, state: VariableState): void {
  const variable = registeredVariable(name);
  if (!variable) return;
  const others = Object.values(tf.engine().registeredVariables);
  const isOfName = (other: tf.Variable): boolean =>
    withoutNumber(other.name) === withoutNumber(name);
  if (others.some((other) => isOfName(other) && canFit(state, other.shape))) return;
  const {moments, basis, gradientSum, projectedSum} = state;
  const tensors = {moments: moments?.first, basis, gradientSum, projectedSum};
  const shapes = Object.entries(tensors).flatMap(([key, x]) => (x ? [`${key} [${x.shape}]`] : []));
  throw new Error(
    `OwLoreOptimizer: the saved state of '${name}' (${shapes.join(', ')}) does not fit the variable, whose shape is ` +
      `[${variable.shape}]; nothing was loaded. Load the state of this model`,
  );
}

/** Whether a state can be that of a variable of `shape`, projected in whatever way. */
function canFit(state: VariableState, shape: readonly number[]): boolean {
  const {basis} = state;
  if (!basis) return fits(state, shape, null);
  if (shape.length < 2) return false;
  const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1);
  const sizes = {rows, columns: shape.at(-1)!, rank: basis.shape[1]};
  return SIDES.some((side) => fits(state, shape, {...sizes, side}));
}

const SIDES = ['left', 'right'] as const;

/** Whether a state is of the shapes of a variable of `shape` that is projected so, or null: not. */
function fits(
  {moments, basis, gradientSum, projectedSum}: VariableState,
  shape: readonly number[],
  projection: Projection | null,
): boolean {
  const momentsShape = projection ? projectedShape(projection) : shape;
  if (projection ? moments && !basis : (basis ?? projectedSum)) return false;
  return (
    isOf(basis, projection ? basisShape(projection) : []) &&
    isOf(gradientSum, shape) &&
    [moments?.first, moments?.second, projectedSum].every((tensor) => isOf(tensor, momentsShape))
  );
}

/** Whether a tensor, if there is one, has a shape. */
function isOf(tensor: tf.Tensor | null | undefined, shape: readonly number[]): boolean {
  return !tensor || tf.util.arraysEqual(tensor.shape, [...shape]);
}
