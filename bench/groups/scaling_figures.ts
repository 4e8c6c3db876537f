import {measureScaling, type Scaling} from '../harness/scaling';
import type {Figure} from '../results/figure';

/**
 * Runs `measure` between two measurements of what this machine gives to two processes, of which `scaling` has the mean.
 *
 * @param beside What is measured, as the figures call it.
 */
export async function besideScaling<T>(
  beside: string,
  {tiny, rounds}: {tiny: boolean; rounds: number},
  measure: () => Promise<T>,
): Promise<{scaling: Scaling; machine: Figure[]; result: T}> {
  const settings = {rounds, seconds: tiny ? 0.1 : 3};
  const before = await measureScaling(settings);
  const result = await measure();
  const after = tiny ? before : await measureScaling(settings);
  const scaling = {
    products: (before.products + after.products) / 2,
    reading: (before.reading + after.reading) / 2,
  };
  const machine = (['products', 'reading'] as const).map((kind): Figure => {
    const what = kind === 'products' ? 'products' : 'memory read';
    return {
      name: `this machine beside ${beside}: ${what} of two processes, against one`,
      ...{value: scaling[kind], unit: 'times'},
    };
  });
  return {scaling, machine, result};
}
