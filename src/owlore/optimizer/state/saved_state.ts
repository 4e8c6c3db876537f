import * as tf from '@tensorflow/tfjs-core';
import {checkArgument, MAX_STEPS} from '../../../common/options';
import {isFactored} from '../../../tape/gradient';
import {checkFits} from './saved_state_fits';
import {ACCUMULATED, HALVINGS, LOSS_SUM, SKIPPED, STEPS, suffixes, type Slot} from './saved_names';
import {isNewTensor, isTermName, termsFromTensors, termTensors} from './saved_terms';
import {emptyState, type SavedPlace, type SavedStates, type VariableState} from './state';
import type {NamedTensor} from './variables';

export {findOwners} from './saved_owners';

type Slots = Partial<Record<Slot, tf.Tensor>>;

/** What is saved of an optimizer. */
export interface SavedOptimizer {
  /** Its steps. */
  iterations: number;
  /** Calls that are in the sums of gradients. */
  calls: number;
  /** Steps that were skipped. */
  skipped: number;
  /** The sum of their losses, if there is one. */
  lossSum: tf.Scalar | null;
  /** How often the learning rate was halved. */
  halvings: number;
  states: SavedStates;
}

/**
 * What `getWeights` returns: steps, accumulated calls and skipped steps, halvings and the sum of losses where there
 * are any, then the tensors of the states themselves, and for each variable a tensor `[adamSteps, basisSteps, place, newest]`.
 * These and the int32 tensors are new; the caller disposes of them.
 */
export function statesToTensors(optimizer: SavedOptimizer): NamedTensor[] {
  const {iterations, calls, skipped, halvings, lossSum, states} = optimizer;
  const saved: NamedTensor[] = [
    {name: STEPS, tensor: tf.scalar(iterations, 'int32')},
    {name: ACCUMULATED, tensor: tf.scalar(calls, 'int32')},
    {name: SKIPPED, tensor: tf.scalar(skipped, 'int32')},
  ];
  if (halvings > 0) saved.push({name: HALVINGS, tensor: tf.scalar(halvings, 'int32')});
  if (lossSum) saved.push({name: LOSS_SUM, tensor: lossSum});
  for (const [name, {state, place, newest}] of states) {
    const {moments, adamSteps, basisSteps, ...tensorsAlone} = state ?? emptyState();
    const clocks = tf.tensor1d([adamSteps, basisSteps, place, newest], 'int32');
    const tensors: Partial<Record<Slot, tf.Tensor | null>> = {
      ...moments,
      ...tensorsAlone,
      clocks,
    };
    for (const [slot, suffix] of Object.entries(suffixes)) {
      const tensor = tensors[slot as Slot];
      if (isFactored(tensor)) saved.push(...termTensors(name, tensor));
      else if (tensor) saved.push({name: name + suffix, tensor});
    }
  }
  return saved;
}

/** Whether a tensor that `getWeights` returned was made for it; the others are the state itself. */
export function isMadeToSave({name, tensor}: NamedTensor): boolean {
  return tensor.dtype === 'int32' || isNewTensor(name);
}

/**
 * The optimizer's steps, other counters and states, from what `getWeights` returned. Copies the tensors and keeps the copies,
 * for the {@link StateStore}.
 *
 * @throws Error, before it copies anything, if an entry is not this optimizer's or is impossible: its shape or dtype does not fit
 *   the other entries of its variable, or the variable of this name; a moment or a basis is not finite; a second moment is
 *   negative; the norm is not a number ≥ 0; a counter is not an integer ≥ 0.
 */
export async function weightsFromTensors(weights: readonly NamedTensor[]): Promise<SavedOptimizer> {
  checkList(weights);
  const [iter, accumulated, skipped, ...others] = weights;
  for (const [counter, name] of [
    [accumulated, ACCUMULATED],
    [skipped, SKIPPED],
  ] as const) {
    if (counter?.name === name) continue;
    throw new Error(
      `OwLoreOptimizer: these weights were saved by another optimizer: '${counter?.name}' stands where '${name}' must be`,
    );
  }
  const calls = await countIn(accumulated!);
  const counters = {iterations: await countIn(iter!), calls, skipped: await countIn(skipped!)};
  const entry = (name: string): NamedTensor | undefined =>
    others.find((other) => other.name === name);
  const halved = entry(HALVINGS);
  const halvings = halved ? await countIn(halved) : 0;
  const loss = entry(LOSS_SUM);
  if (loss) check(loss.tensor.size === 1 && calls > 0, LOSS_SUM, 'must be a number, of calls > 0');
  const saved = others.filter((other) => ![halved, loss].includes(other));
  const states = await statesFromTensors(saved, calls);
  const scalar = (named?: NamedTensor): tf.Scalar | null =>
    named ? tf.keep(tf.reshape<tf.Rank.R0>(named.tensor, [])) : null;
  return {...counters, lossSum: scalar(loss), halvings, states};
}

/** Throws unless these are tensors with names. */
function checkList(weights: unknown): asserts weights is NamedTensor[] {
  const what = 'a list of {name, tensor}, as getWeights gives it';
  checkArgument('OwLoreOptimizer', 'weights', weights, what, Array.isArray(weights));
  for (const [i, entry] of (weights as unknown[]).entries()) {
    const {name, tensor} = (entry ?? {}) as Partial<NamedTensor>;
    const isNamed = typeof name === 'string';
    checkArgument('OwLoreOptimizer', `weights[${i}].name`, name, 'a text', isNamed);
    const isTensor = tensor instanceof tf.Tensor && !tensor.isDisposed;
    check(isTensor, name!, 'is no tensor, or disposed');
    check(tensor.dtype !== 'string', name!, 'must be numbers; got string');
  }
}

/** @param calls How many are in the sums of gradients. */
async function statesFromTensors(
  saved: readonly NamedTensor[],
  calls: number,
): Promise<SavedStates> {
  const byVariable = new Map<string, Slots>();
  const savedTerms = saved.filter(({name}) => isTermName(name));
  for (const [variable, gradientSum] of await termsFromTensors(savedTerms))
    byVariable.set(variable, {gradientSum});
  for (const {name, tensor} of saved) {
    if (isTermName(name)) continue;
    const match = Object.entries(suffixes).find(([, suffix]) => name.endsWith(suffix));
    if (!match) {
      throw new Error(
        `OwLoreOptimizer: '${name}' is not a state of this optimizer; these weights were saved by another one`,
      );
    }
    const [slot, suffix] = match as [Slot, string];
    const variable = name.slice(0, -suffix.length);
    const slots = byVariable.get(variable) ?? {};
    check(!slots[slot], name, 'is there twice');
    if (slot !== 'clocks')
      check(tensor.dtype === 'float32', name, `must be float32; got ${tensor.dtype}`);
    byVariable.set(variable, {...slots, [slot]: tensor});
  }
  const clocks = new Map<string, Clocks>();
  for (const [variable, slots] of byVariable) {
    clocks.set(variable, await checkValues(variable, slots));
    checkShapes(variable, slots);
    const isSummed = !!(slots.gradientSum ?? slots.projectedSum);
    check(
      !isSummed || calls > 0,
      variable,
      `has a sum of gradients of no call: '${ACCUMULATED}' is 0`,
    );
  }
  return new Map(
    [...byVariable].map(([variable, {clocks: _, ...tensors}]) => {
      const {adamSteps, basisSteps, ...place} = clocks.get(variable)!;
      const hasState = Object.keys(tensors).length > 0;
      const state = hasState ? {...stateOf(tensors, copy), adamSteps, basisSteps} : null;
      return [variable, {state, ...place}];
    }),
  );
}

interface Clocks extends SavedPlace {
  adamSteps: number;
  basisSteps: number;
}

/** Reads the clocks of a variable, and throws if its tensors have impossible numbers. */
async function checkValues(variable: string, slots: Slots): Promise<Clocks> {
  for (const [slot, isRight, range] of [
    ['first', Number.isFinite, 'finite'],
    ['second', (x: number) => x >= 0 && x < Infinity, 'finite and not negative'],
    ['basis', Number.isFinite, 'finite'],
    ['limit', (x: number) => x >= 0 && x < Infinity, 'finite and not negative'],
  ] as const) {
    const values = (await slots[slot]?.data<'float32'>()) ?? [];
    const wrong = values.find((x) => !isRight(x));
    check(wrong === undefined, variable + suffixes[slot], `must be ${range}; it has a ${wrong}`);
  }
  const values = Array.from((await slots.clocks?.data()) ?? []);
  const [adamSteps = 0, basisSteps = 0, place = -1, newest = 0] = values;
  const areCounts = [adamSteps, basisSteps, place + 1, newest].every(isCount);
  const isComplete = adamSteps > 0 === !!slots.first && (basisSteps === 0 || !!slots.basis);
  check(
    areCounts && isComplete && values.length <= 4,
    variable + suffixes.clocks,
    `must be the steps of its moments and its basis; got [${values.join(', ')}]`,
  );
  return {
    adamSteps,
    basisSteps,
    place,
    newest,
  };
}

/** Throws unless the tensors can be the state of one variable, and of the variable of that name if there is one. */
function checkShapes(variable: string, slots: Slots): void {
  const {first, second, basis, limit, gradientSum, projectedSum} = slots;
  check(!limit || limit.rank === 0, variable + suffixes.limit, 'must be a number');
  for (const [one, other] of [
    ['first', 'second'],
    ['second', 'first'],
  ] as const) {
    check(!slots[one] || !!slots[other], variable + suffixes[one], `lacks '${suffixes[other]}'`);
  }
  check(!basis || basis.rank === 2, variable + suffixes.basis, `must be a matrix`);
  check(!projectedSum || !!basis, variable + suffixes.projectedSum, `lacks '${suffixes.basis}'`);
  check(
    !gradientSum || !projectedSum,
    variable + suffixes.projectedSum,
    'is there beside the sum of whole gradients',
  );
  const shapes = [first, second, projectedSum].flatMap((tensor) => (tensor ? [tensor.shape] : []));
  check(
    shapes.every((shape) => tf.util.arraysEqual(shape, shapes[0]!)),
    variable + suffixes.first,
    `and what belongs to it must have one shape; got [${shapes.join('], [')}]`,
  );
  checkFits(
    variable,
    stateOf(slots, (tensor) => tensor),
  );
}

function check(isRight: boolean, name: string, what: string): asserts isRight {
  if (!isRight) throw new Error(`OwLoreOptimizer: '${name}' ${what}; nothing was loaded`);
}

function stateOf(
  {first, second, basis, limit, gradientSum, projectedSum}: Slots,
  take: <T extends tf.Tensor>(tensor: T) => T,
): VariableState {
  return {
    ...emptyState(),
    moments: first && second ? {first: take(first), second: take(second)} : null,
    basis: basis ? take(basis as tf.Tensor2D) : null,
    limit: limit ? take(limit) : null,
    gradientSum: gradientSum ? take(gradientSum) : null,
    projectedSum: projectedSum ? take(projectedSum) : null,
  };
}

function copy<T extends tf.Tensor>(tensor: T): T {
  return isFactored(tensor) ? (tensor.copy() as tf.Tensor as T) : tf.keep(tf.clone(tensor));
}

/** The number in an entry that counts something. */
async function countIn({name, tensor}: NamedTensor): Promise<number> {
  const values = Array.from(await tensor.data());
  const isRight = values.length === 1 && isCount(values[0]!);
  check(isRight, name, `must be an integer from 0 to ${MAX_STEPS}; got ${values.join(', ')}`);
  return values[0]!;
}

function isCount(x: number): boolean {
  return Number.isInteger(x) && x >= 0 && x <= MAX_STEPS;
}
