/**
 * The search for a method's learning rate, on one seed: it begins with the rates that the setting names, and while the best is the
 * lowest or the highest of them, the next one beyond it on the grid is tried.
 */

/** A rate that was tried; the loss is infinite where the training came to no end. */
export interface Tried {
  rate: number;
  loss: number;
}

/** The most rates of a method that are tried. */
export const MAX_RATES = 6;

const mantissas = [1, 2, 5];

/** The next rate of the grid 1, 2, 5, 10, 20, … (times powers of ten) above or below one. */
export function neighbour(rate: number, direction: 1 | -1): number {
  const exponent = Math.floor(Math.log10(rate) + 1e-9);
  const place = mantissas.findIndex((m) => Math.abs(rate / 10 ** exponent - m) < 1e-6);
  if (place < 0) throw new Error(`a rate must be 1, 2 or 5 times a power of ten; got ${rate}`);
  const at = place + direction;
  const wrapped = (at + mantissas.length) % mantissas.length;
  const decade = exponent + Math.floor(at / mantissas.length);
  return Number(`${mantissas[wrapped]}e${decade}`);
}

/** The rate with the least loss; of equal ones the lower. */
export function bestOf(tried: readonly Tried[]): Tried {
  const inOrder = [...tried].sort((a, b) => a.rate - b.rate);
  return inOrder.reduce((best, one) => (one.loss < best.loss ? one : best));
}

/** The rates that are still to be tried, after those that were; none if the search is over. */
export function nextRates(first: readonly number[], tried: readonly Tried[]): number[] {
  const left = first.filter((rate) => !tried.some((one) => one.rate === rate));
  if (left.length > 0 || tried.length >= MAX_RATES) return left;
  const rates = tried.map(({rate}) => rate);
  const {rate} = bestOf(tried);
  if (rate === Math.max(...rates)) return [neighbour(rate, 1)];
  if (rate === Math.min(...rates)) return [neighbour(rate, -1)];
  return [];
}
