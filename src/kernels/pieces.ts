import {computesValues} from './capabilities';

/** Some of many rows that are worked on at a time. */
export interface Piece {
  from: number;
  count: number;
  /** Whether it stands for several pieces, of which only the results are to be made. */
  isStandIn: boolean;
}

/**
 * `total` rows in pieces of at most `most`. Where no values are computed, and thousands of pieces would make and free the same as a few,
 * one stands for all between the first two and the last one.
 */
export function* piecesOf(total: number, max: number): Generator<Piece> {
  const size = Math.min(total, max);
  const last = Math.ceil(total / size) - 1;
  const hasStandIn = last > 3 && !computesValues();
  for (let i = 0; i <= last; i++) {
    const isStandIn = hasStandIn && i === 2;
    const [from, next] = [i * size, isStandIn ? last : i + 1];
    yield {from, count: Math.min(next * size, total) - from, isStandIn};
    i = next - 1;
  }
}
