/**
 * What a step takes of each method, for a machine that does nothing else meanwhile: the trainings that are compared may have run beside
 * other work. They are the same trainings with the first seed, but short.
 */
import {join} from 'node:path';
import {median} from '../harness/statistics';
import {cellOf, rateOf, stagesOf, type Row} from './plan';
import type {Prepared} from './prepare';
import type {CellRecord} from './records';
import {timeTraining, type TimedTraining} from './run_cell';
import type {Setting} from './settings';

/** Steps of a training: two periods of blocks. */
const STEPS = 12;
/** How often each method has its turn. */
const ROUNDS = 1;

/** What was measured of a method. */
export interface MethodTimes {
  title: string;
  /** The median of its steps but for the first of each training, which makes what the others find. */
  seconds: number;
  /** The most of all its trainings, as everywhere in the comparison. */
  peakBytes: number;
  residentBytes: number;
}

/** The methods of the main table, and the rows with a frozen embedding, each at its best rate. */
export async function timeMethods(
  setting: Setting,
  prepared: Prepared,
  cells: ReadonlyMap<string, CellRecord>,
): Promise<MethodTimes[]> {
  const interval = Number(setting.training['interval']);
  const training = {...setting.training, steps: STEPS, interval: Math.min(interval, STEPS / 2)};
  const short = {...setting, training: {...training, evaluateEvery: STEPS, saveEvery: STEPS}};
  const again = {...prepared, folder: join(prepared.folder, 'times')};
  const rows = stagesOf(setting).flatMap(({name, rows: all}) =>
    name === 'main' || name === 'frozen' ? all : [],
  );
  const timed = new Map<Row, TimedTraining[]>(rows.map((row) => [row, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [row, trainings] of timed) {
      const rate = rateOf(setting, row, cells);
      if (rate === null) throw new Error(`${row.title} has no rate yet: run the stage rates first`);
      const cell = cellOf(row, rate, setting.seeds.tables[0]!);
      trainings.push(await timeTraining(short, again, cell));
      console.log(`${row.title}: ${median(trainings.at(-1)!.seconds).toFixed(2)} s a step`);
    }
  }
  return Array.from(timed, ([{title}, trainings]) => ({
    title,
    seconds: median(trainings.flatMap(({seconds}) => seconds)),
    peakBytes: Math.max(...trainings.map(({peakBytes}) => peakBytes)),
    residentBytes: Math.max(...trainings.map(({residentBytes}) => residentBytes)),
  }));
}
