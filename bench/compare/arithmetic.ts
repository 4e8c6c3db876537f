/** Means over seeds, and differences of two rows that are paired by seed. */

/** t of 97.5 % for 1, 2, … degrees of freedom, so that ± t is 95 %. */
const T_975 = [
  ...[12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228],
  ...[2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11, 2.101, 2.093, 2.086],
  ...[2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042],
];

/** @throws if there are no numbers. */
export function mean(numbers: readonly number[]): number {
  if (numbers.length === 0) throw new Error('mean: there are no numbers');
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

/** The standard deviation of a sample, with n − 1; NaN of a single number. */
export function deviation(numbers: readonly number[]): number {
  const center = mean(numbers);
  const squares = numbers.reduce((sum, number) => sum + (number - center) ** 2, 0);
  return Math.sqrt(squares / (numbers.length - 1));
}

/** A quantity of one seed. */
export interface OfSeed {
  seed: number;
  value: number;
}

/** How much more one row has than another, over the seeds that both have. */
export interface PairedDifference {
  seeds: number[];
  mean: number;
  /** Half of the 95 % interval of the mean, by Student's t; NaN with fewer than two pairs. */
  halfWidth: number;
}

/** @returns null if no seed is in both. */
export function pairedDifference(
  row: readonly OfSeed[],
  other: readonly OfSeed[],
): PairedDifference | null {
  const pairs = row.flatMap(({seed, value}) => {
    const partner = other.find((one) => one.seed === seed);
    return partner ? [{seed, difference: value - partner.value}] : [];
  });
  if (pairs.length === 0) return null;
  const differences = pairs.map(({difference}) => difference);
  const t = pairs.length > 1 ? T_975[pairs.length - 2] : NaN;
  if (t === undefined)
    throw new Error(`pairedDifference: at most ${T_975.length + 1} pairs; got ${pairs.length}`);
  return {
    seeds: pairs.map(({seed}) => seed),
    mean: mean(differences),
    halfWidth: (t * deviation(differences)) / Math.sqrt(pairs.length),
  };
}

/** A row of the comparison as a point of a plane in which less of both is better. */
export interface Point {
  loss: number;
  bytes: number;
}

/** Those points than which no other has less of one and no more of the other, by rising bytes. */
export function paretoFront<T extends Point>(points: readonly T[]): T[] {
  const isBetter = (a: Point, b: Point): boolean =>
    a.loss <= b.loss && a.bytes <= b.bytes && (a.loss < b.loss || a.bytes < b.bytes);
  return points
    .filter((point) => !points.some((other) => isBetter(other, point)))
    .sort((a, b) => a.bytes - b.bytes);
}
