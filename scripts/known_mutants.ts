/**
 * Faults that `npm run test:mutants` puts in and no test of the room notices, because nobody could: what is computed, kept, printed
 * and thrown stays the same. Code before and after, and why.
 */
export const knownMutants: Readonly<
  Record<string, ReadonlyArray<{from: string; to: string; because: string}>>
> = {};
