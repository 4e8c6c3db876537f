import * as tf from '@tensorflow/tfjs-core';
import {isFactored} from '../../../tape/gradient';
import {newestNumbers, withoutNumber} from '../../../tfjs/variable_names';
import {basisShape, projectedShape, type Projection, type Projections} from './projector';
import {registeredVariable} from './variables';

/** Adam's exponential moving averages of a gradient and of its square, both of the gradient's shape. */
export interface Moments {
  first: tf.Tensor;
  second: tf.Tensor;
}

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
  /** Norm of the last step's scaled gradient, by which that of the next one is limited; null where the rule limits none. */
  limit: tf.Tensor | null;
  /** Sum of the gradients of the step that is being accumulated, which may be factored (`FactoredGradient`); null between steps. */
  gradientSum: tf.Tensor | null;
  /** ΣPᵀG, the same sum in the subspace of the basis, which replaces `gradientSum` where it is enough. */
  projectedSum: tf.Tensor | null;
}

/** A state before its variable's first step. */
export function emptyState(): VariableState {
  return {
    moments: null,
    adamSteps: 0,
    basis: null,
    basisSteps: 0,
    limit: null,
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

/** `old` if the boolean scalar `allFinite` is false; `next` if it is true or null. */
export function ifFinite<T extends tf.Tensor>(allFinite: tf.Tensor | null, next: T, old: T): T {
  return allFinite ? tf.where(allFinite, next, old) : next;
}

/** Replaces a kept tensor by the result of `compute`, or by a copy if not all gradients are finite. */
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

/** What is saved with a variable's state to find the variable again, which may have another name when the state is loaded. */
export interface SavedPlace {
  /** Its place among all variables of the last step, trainable or not; −1 if it was not among them, as another model's. */
  place: number;
  /** Of all variables that are called the same but for a number at the end (`dense/kernel_3`), the largest such number. */
  newest: number;
}

/** The states as they are saved, by variable; `state` is null for a variable that has only a place. */
export type SavedStates = Map<string, SavedPlace & {state: VariableState | null}>;

/**
 * The names of the variables to which saved states belong, by the names of the states; without those that belong to none.
 *
 * @param states Names of the states.
 * @param names Those of all variables of the coming step.
 */
export type FindOwners = (
  saved: SavedStates,
  states: readonly string[],
  names: readonly string[],
) => Map<string, string>;

/** States by variable name, each made when it is first needed: a variable that is never trained has none. */
export class StateStore {
  private states = new Map<string, VariableState>();
  /** The restored states with their places, until the first step shows to which variables they belong. */
  private restored: {saved: SavedStates; findOwners: FindOwners} | null = null;
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

  /** Frees the states of the variables called `names`, where they have one. */
  free(names: readonly string[]): void {
    for (const name of names) {
      const state = this.states.get(name);
      if (state) tf.dispose(stateTensors(state));
      this.states.delete(name);
    }
  }

  /** Frees all states, also restored ones. */
  clear(): void {
    this.free([...this.states.keys()]);
    this.restored = null;
  }

  /** Frees the states of variables that no longer exist. */
  private freeOrphans(): void {
    this.free([...this.states.keys()].filter((name) => !registeredVariable(name)));
  }

  /** Throws if the state of a variable does not have the shapes that its update needs. */
  check(variables: readonly tf.Variable[], projections: Projections): void {
    for (const variable of variables) {
      const state = this.find(variable.name);
      if (state) checkState(variable, state, projections.of(variable));
    }
  }

  /** Bytes of all tensors on the device. */
  get bytes(): number {
    const tensors = [...this.states.values()].flatMap(stateTensors);
    return tensors.reduce((sum, {size, dtype}) => sum + size * tf.util.bytesPerElement(dtype), 0);
  }

  /**
   * The states by name, in the order that the variables had in the last step. That in which they were made would be lost when a
   * state is restored, and sums over variables, such as the global norm, are rounded differently in another order.
   */
  entries(): Array<[string, VariableState]> {
    const places = new Map(this.listed.map((name, i) => [name, i]));
    const placeOf = ([name]: [string, VariableState]): number => places.get(name) ?? Infinity;
    return [...this.states].sort((a, b) => placeOf(a) - placeOf(b));
  }

  /** All states with what {@link restore} needs to give them back. */
  toSave(): SavedStates {
    if (this.restored) return this.restored.saved;
    this.freeOrphans();
    const {listed} = this;
    const others = [...this.states.keys()].filter((name) => !listed.includes(name));
    const newest = newestNumbers();
    return new Map(
      [...listed, ...others].map((name, i) => [
        name,
        {
          state: this.find(name) ?? null,
          place: i < listed.length ? i : -1,
          newest: newest.get(withoutNumber(name)) ?? 0,
        },
      ]),
    );
  }

  /** Whether the states were restored, and {@link identify} has not told yet which variables there are. */
  get isUnidentified(): boolean {
    return this.restored !== null;
  }

  /** Frees all states and takes over saved ones, whose variables `findOwners` finds. */
  restore(saved: SavedStates, findOwners: FindOwners): void {
    this.clear();
    for (const [name, {state}] of saved) if (state) this.states.set(name, state);
    this.restored = {saved, findOwners};
  }

  /**
   * Takes the names of all variables of the coming step, trainable or not, in the caller's order. At the first call after
   * {@link restore} the saved states go to their variables; those that fit none are freed. Those of variables that no longer exist are
   * freed at every call.
   */
  identify(names: readonly string[]): void {
    this.listed = names;
    const {restored} = this;
    this.restored = null;
    if (!restored) {
      this.freeOrphans();
      return;
    }
    const states = [...this.states];
    this.states.clear();
    const owners = restored.findOwners(
      restored.saved,
      states.map(([name]) => name),
      names,
    );
    for (const [name, state] of states) {
      const owner = owners.get(name);
      if (owner === undefined) tf.dispose(stateTensors(state));
      else this.states.set(owner, state);
    }
  }
}

/** States as they were before a step: their clocks, and whether they had a basis. */
export type Clocks = Map<VariableState, VariableState>;

export function clocksOf(states: readonly VariableState[]): Clocks {
  return new Map(states.map((state) => [state, {...state}]));
}

/**
 * Sets clocks back to what they would be without the first of some steps, which turned out to have changed nothing; a state that had
 * no moments has none again. The steps that were begun after it stay counted, also in the clocks that were remembered before them.
 * Only a basis that was to be the first one, and is 0, is freed with all that was counted in it.
 */
export function uncount([clocks, ...later]: readonly Clocks[]): void {
  for (const [state, before] of clocks!) {
    if (state.basis && !before.basis) {
      forgetSteps(state);
      for (const each of later) each.delete(state);
      continue;
    }
    const next = [...later.flatMap((each) => each.get(state) ?? []), state];
    for (const clock of ['adamSteps', 'basisSteps'] as const) {
      let last = before[clock];
      let counted = next[0]![clock] - last;
      next.forEach((each, i) => {
        // A step that set the clock anew does so without this one, too.
        if (i > 0 && each[clock] !== last + 1) counted = 0;
        last = each[clock];
        each[clock] -= counted;
      });
    }
    if (state.adamSteps === 0) forgetSteps(state);
  }
}

/** Frees moments and basis, and with the basis the sum that was projected on it. */
function forgetSteps(state: VariableState): void {
  const {gradientSum} = state;
  tf.dispose(stateTensors({...state, gradientSum: null}));
  Object.assign(state, {...emptyState(), gradientSum});
}

/** All tensors of a state. */
function stateTensors(state: VariableState): tf.Tensor[] {
  const {moments, basis, limit, gradientSum, projectedSum} = state;
  const sums = isFactored(gradientSum) ? gradientSum.tensors : [gradientSum];
  const tensors = [moments?.first, moments?.second, basis, limit, ...sums, projectedSum];
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
    `OwLoreOptimizer: the state of '${name}' (${shapesOf(state)}) does not fit the options, which ask for moments of shape ` +
      `[${momentsShape}]; use the rank, side, project and blocks that it was made with, or dispose() to start anew`,
  );
}

/** What a state has, in a message: `moments [2,9], basis [6,2]`. */
export function shapesOf({moments, basis, gradientSum, projectedSum}: VariableState): string {
  const tensors = {moments: moments?.first, basis, gradientSum, projectedSum};
  return Object.entries(tensors)
    .flatMap(([key, x]) => (x ? `${key} [${x.shape}]` : []))
    .join(', ');
}

/** Whether a state has the shapes for a variable of `shape` with this projection; null: it is not projected. */
export function fits(
  {moments, basis, gradientSum, projectedSum}: VariableState,
  shape: readonly number[],
  projection: Projection | null,
): boolean {
  const momentsShape = projection ? projectedShape(projection) : shape;
  if (projection && moments && !basis) return false;
  return (
    (projection ? isOf(basis, basisShape(projection)) : !basis) &&
    isOf(gradientSum, shape) &&
    [moments?.first, moments?.second, projectedSum].every((tensor) => isOf(tensor, momentsShape))
  );
}

/** Whether there is no tensor, or it has this shape. */
function isOf(tensor: tf.Tensor | null | undefined, shape: readonly number[]): boolean {
  return !tensor || tf.util.arraysEqual(tensor.shape, [...shape]);
}
