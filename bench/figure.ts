/** What the groups of `npm run bench` have in common: the figures they find, and what these must be. */

/** What a figure must reach, in the unit of its value. */
export type Goal = {atMost: number} | {atLeast: number};

/** One line of the table in `docs/performance.md`. */
export interface Figure {
  /** What is compared with what; the same in every run, as figures are known by it. */
  name: string;
  /** A ratio of medians of one interleaved run, a share, or a count. */
  value: number;
  /** How the value is written: 'times' 12.3 ×, 'share' as a percentage (0.05 is 5 %), 'count' as it is. */
  unit: 'times' | 'share' | 'count';
  /** Without one the figure is there to be known. */
  goal?: Goal;
}

/** What a group found: `bench/results.json` has it under the group's name, with machine, commit and date. */
export interface GroupResult {
  figures: Figure[];
  /** The measurements behind the figures, for who wants to look: times, bytes, versions. */
  measured: object;
  /** What was not measured, and what it would take. */
  skipped?: string[];
}

export interface GroupSettings {
  /** Rounds of the interleaved run. Default: the group's own. */
  rounds?: number;
  /** The Python that has PyTorch, or would have it. */
  python: string;
}

/** Measures one group. Each group runs in a process of its own, so it may load any backend. */
export type MeasureGroup = (settings: GroupSettings) => Promise<GroupResult>;

export function isReached(value: number, goal: Goal): boolean {
  return 'atMost' in goal ? value <= goal.atMost : value >= goal.atLeast;
}

/** A value as it is written in a table. */
export function written(value: number, unit: Figure['unit']): string {
  switch (unit) {
    case 'times':
      return `${Number(value.toPrecision(3))} ×`;
    case 'share':
      return `${Number((100 * value).toPrecision(3))} %`;
    case 'count':
      return String(value);
  }
}
