/** A figure that a benchmark measures, and the goal that it must reach. */

/** What a figure must reach, in the unit of its value. */
export type Goal = {atMost: number} | {atLeast: number};

/** A line of a table of figures. */
export interface Figure {
  /** What is compared with what; the same in every run, because it identifies the figure. */
  name: string;
  /** A ratio of medians of one interleaved run, a share, or a count. */
  value: number;
  /** How the value is written: 'times' 12.3 ×, 'share' as a percentage (0.05 is 5 %), 'count' as it is. */
  unit: 'times' | 'share' | 'count';
  /** Without a goal the figure is for information only. */
  goal?: Goal;
}

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
