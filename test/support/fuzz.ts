import type fc from 'fast-check';

/**
 * How long and from which seed the tests with damaged files and wrong arguments go: `npm run fuzz` sets `OWLORE_FUZZ_RUNS`, the cases of each
 * kernel or entry, and `OWLORE_FUZZ_SEED`.
 */
export function fuzz(usualRuns: number): fc.Parameters<unknown> {
  // a page has no process
  const {OWLORE_FUZZ_RUNS: runs, OWLORE_FUZZ_SEED: seed} =
    typeof process === 'undefined' ? {} : process.env;
  return {
    numRuns: runs === undefined ? usualRuns : Number(runs),
    ...(seed !== undefined && {seed: Number(seed)}),
  };
}
