/** The names that tfjs-core gives variables, seen in 4.22: it appends `_1`, `_2`, … to a name that was ever taken. */
import * as tf from '@tensorflow/tfjs-core';

const NUMBER = /_(\d+)$/;

/** A variable's name without the number that tfjs appends to a name that was ever taken. */
export function withoutNumber(name: string): string {
  return name.replace(NUMBER, '');
}

/** That number; 0 if there is none. */
export function numberOf(name: string): number {
  return Number(NUMBER.exec(name)?.[1] ?? 0);
}

/** The largest number of all variables of a name, by that name without its number. */
export function newestNumbers(): Map<string, number> {
  const newest = new Map<string, number>();
  for (const name of Object.keys(tf.engine().registeredVariables)) {
    const key = withoutNumber(name);
    newest.set(key, Math.max(newest.get(key) ?? 0, numberOf(name)));
  }
  return newest;
}
