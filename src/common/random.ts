import {uniformFloat64} from 'pure-rand/distribution/uniformFloat64';
import {xoroshiro128plus} from 'pure-rand/generator/xoroshiro128plus';
import {skipN} from 'pure-rand/utils/skipN';
import {checkNumber, seedRange} from './options';

/** Outputs thrown away after seeding: the first ones of xoroshiro128+ differ little between small seeds. */
const warmUp = 64;

/** A stream of random numbers that its seed determines. */
export interface Random {
  /** The next number, uniform in [0, 1) with 53 random bits. */
  next(): number;
}

/**
 * A seeded generator (xoroshiro128+): the same seed gives the same numbers on every machine.
 *
 * @param seed An integer in [0, 2³² − 1].
 * @throws Error if the seed is anything else.
 */
export function createRandom(seed: number): Random {
  checkNumber('createRandom', 'seed', seed, seedRange);
  const generator = xoroshiro128plus(seed);
  skipN(generator, warmUp);
  return {next: () => uniformFloat64(generator)};
}

/** That of a period: its seed follows from the seed of all periods, and from `step`, which is another one for each use. */
export function randomOfPeriod(seed: number, period: number, step: number): Random {
  return createRandom((seed + Math.imul(period + 1, step)) >>> 0);
}

/** A random order of `0 … count − 1`, every order equally likely (Fisher–Yates). */
export function shuffledIndices(count: number, random: Random): number[] {
  const indices = Array.from({length: count}, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random.next() * (i + 1));
    [indices[i], indices[j]] = [indices[j]!, indices[i]!];
  }
  return indices;
}
