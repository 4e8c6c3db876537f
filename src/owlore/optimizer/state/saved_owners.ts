/** To which variables saved states belong, which tfjs may have renamed. */
import {numberOf, withoutNumber} from '../../../tfjs/variable_names';
import type {FindOwners, SavedStates} from './state';
import {registeredVariable} from './variables';

/** By name, or by {@link renamings} if tfjs has renamed the variables. A log line names states that are lost. */
export const findOwners: FindOwners = (saved, states, names) => {
  const renamed = renamings(saved, names);
  // The restored states may belong to another model that exists: it keeps them, and the trained one has none.
  const areOthers = renamed?.size === 0 && ![...saved.keys()].some((name) => names.includes(name));
  const owners = new Map<string, string>();
  const lost: string[] = [];
  for (const name of states) {
    const isLost = renamed === null || (!renamed.has(name) && !registeredVariable(name));
    if (!isLost) owners.set(name, renamed.get(name) ?? name);
    if (isLost || areOthers) lost.push(name);
  }
  if (lost.length > 0) console.warn(lossMessage(lost));
  return owners;
};

/**
 * The new names of saved variables that tfjs has renamed: it appends `_1`, `_2`, … to a name that was ever taken. They are found
 * all together or not at all. There must be as many variables as in the last step that was saved, and each name, apart from such a
 * number, must equal the saved one in the same place, and none that was not in that step. If a saved name exists now, it belongs to the variable of that name, unless that variable is
 * another model's: a model that existed when the state was saved, while none of the renamed variables did.
 *
 * @returns null if saved names belong to variables that are in other places.
 */
function renamings(saved: SavedStates, names: readonly string[]): Map<string, string> | null {
  const none = new Map<string, string>();
  const before = [...saved].filter(([, {place}]) => place >= 0);
  before.sort(([, a], [, b]) => a.place - b.place);
  const isSame = (old: string, i: number): boolean =>
    [old, withoutNumber(old)].some((base) => [names[i]!, withoutNumber(names[i]!)].includes(base));
  const bases = new Set(names.map(withoutNumber));
  const isWhole =
    before.length === names.length &&
    [...saved].every(([old, {place}]) => place >= 0 || !bases.has(withoutNumber(old))) &&
    before.every(([old, {place}], i) => place === i && isSame(old, i));
  const areAllThere = before.every(([old]) => names.includes(old));
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
