import type {BackendName} from '../support/backends';

/** Parts of Adam's progress that a program made; null for a program without blocks. */
export interface ProgramResult {
  optimizer: number;
  sampling: number | null;
}

/** Results by program and backend. */
export type CompatibilityRecord = Record<string, Partial<Record<BackendName, ProgramResult>>>;

/** What this run has found, for what comes after the tests. */
export const results: CompatibilityRecord = {};

export function recordResult(title: string, backend: BackendName, result: ProgramResult): void {
  (results[title] ??= {})[backend] = result;
}

/** `record` with `found` in it; numbers with two decimals, programs in the order of `titles`. */
export function mergeResults(
  record: CompatibilityRecord,
  found: CompatibilityRecord,
  titles: readonly string[],
): CompatibilityRecord {
  const rounded = (value: number): number => Math.round(100 * value) / 100;
  return Object.fromEntries(
    titles.map((title) => {
      const all = {...record[title]};
      for (const [backend, {optimizer, sampling}] of Object.entries(found[title] ?? {})) {
        all[backend as BackendName] = {
          optimizer: rounded(optimizer),
          sampling: sampling === null ? null : rounded(sampling),
        };
      }
      return [title, all];
    }),
  );
}
