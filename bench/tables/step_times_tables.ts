/** The table that `npm run bench -- defaults --times` makes of its results. */
import type {StepTimes} from '../harness/step_times';
import {isReached} from '../results/figure';
import type {Records} from '../results/store';
import type {Table} from './document';

/** Of one backend: the times of each model by its title. */
export type StepTimesMeasurements = Record<string, StepTimes>;

/** What a step may take of one with `tf.train.adam`. */
const goals = {time: {atMost: 1.1}, memory: {atMost: 1}};

/** @param records By the names of the backends. */
export function stepTimesTables(records: Records<StepTimesMeasurements>): Table[] {
  const columns = Object.entries(records);
  const titles = [...new Set(columns.flatMap(([, {measured}]) => Object.keys(measured)))];
  return [
    {
      name: 'times',
      caption: "A step's time and peak memory, in parts of those with tf.train.adam",
      header: [
        'model',
        ...columns.flatMap(([name]) => [`${name}, ms`, `${name}, time`, `${name}, memory`]),
      ],
      rows: titles.map((title) => [
        title,
        ...columns.flatMap(([, {measured}]) => cells(measured[title])),
      ]),
    },
  ];
}

/** A line about one model. */
export function timesLine(title: string, times: StepTimes): string {
  const [ms, time, memory] = cells(times);
  const processorPart = times.processorRatio.toFixed(2);
  return `${title}: ${ms} ms, ${time}, of the processor ${processorPart}, memory ${memory} (${times.rounds} rounds)`;
}

export function reachesGoals(times: StepTimes): boolean {
  const {time, memory} = ratios(times);
  return isReached(time, goals.time) && isReached(memory, goals.memory);
}

function cells(times: StepTimes | undefined): string[] {
  if (!times) return ['', '', ''];
  const {adam, ours} = times.milliseconds;
  const written = (['time', 'memory'] as const).map((which) => {
    const ratio = ratios(times)[which];
    return `${ratio.toFixed(2)} ${isReached(ratio, goals[which]) ? '✓' : '✗'}`;
  });
  return [`${adam.toPrecision(3)} → ${ours.toPrecision(3)}`, ...written];
}

/** Rounded as they are written. */
function ratios({ratio, peaks}: StepTimes): {time: number; memory: number} {
  return {
    time: Math.round(100 * ratio) / 100,
    memory: Math.round((100 * peaks.ours) / peaks.adam) / 100,
  };
}
