import {display} from '../options';

/** Which blocks were on in each period: the history of a run as JSON, which a callback can replay. */
export interface SamplingSchedule {
  /** The model's blocks, in its order. */
  blocks: string[];
  /** Steps in a period. */
  interval: number;
  /** Names of the blocks that were on, one list a period. */
  periods: string[][];
}

const owner = 'LayerSamplingCallback';

/** Throws unless `schedule` is of the form of {@link SamplingSchedule}. */
export function checkSchedule(schedule: unknown): asserts schedule is SamplingSchedule {
  const {blocks, interval, periods} = (schedule ?? {}) as Partial<SamplingSchedule>;
  const isNames = (list: unknown): list is string[] =>
    Array.isArray(list) && list.every((name) => typeof name === 'string');
  if (
    !isNames(blocks) ||
    !Number.isInteger(interval) ||
    interval! < 1 ||
    !Array.isArray(periods) ||
    !periods.every(isNames)
  ) {
    throw new Error(
      `${owner}: schedule must be {blocks: string[], interval: an integer >= 1, periods: string[][]}, as ` +
        `callback.schedule gives it; got ${display(schedule)}`,
    );
  }
  const known = new Set(blocks);
  const unknown = periods.flat().find((name) => !known.has(name));
  if (unknown !== undefined) {
    throw new Error(
      `${owner}: schedule has block '${unknown}' in a period, but not among its blocks (${blocks.join(', ')})`,
    );
  }
}

/** The blocks of period `period` = 0, 1, …; throws past the end. */
export function replayPeriod({periods, interval}: SamplingSchedule, period: number): string[] {
  const names = periods[period];
  if (names) return names;
  throw new Error(
    `${owner}: the schedule has ${periods.length} periods of ${interval} steps and ends before step ` +
      `${period * interval + 1}; train for fewer steps, or leave schedule out to draw anew`,
  );
}

/** Throws if a schedule is for other blocks than the model's. */
export function checkSameBlocks(schedule: SamplingSchedule, blocks: readonly string[]): void {
  const scheduled = schedule.blocks;
  if (scheduled.length === blocks.length && scheduled.every((name) => blocks.includes(name)))
    return;
  throw new Error(
    `${owner}: schedule is for the blocks ${scheduled.join(', ')}, the model has ${blocks.join(', ')}; replay it on the ` +
      'same model with the same blocks option',
  );
}
