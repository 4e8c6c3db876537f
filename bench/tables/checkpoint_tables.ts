/** The table of `docs/checkpoints.md` that `npm run bench -- checkpoints` makes of its results. */
import type {Records} from '../results/store';
import {megabytes, type Table} from './document';

/** In milliseconds. */
export interface Times {
  wall: number;
  /** Of all threads of the process. */
  processor: number;
}

export interface CheckpointTimes {
  /** Of the model's weights. */
  modelBytes: number;
  /** Written by the first checkpoint in a folder, and by one after two of 30 blocks have trained. */
  bytes: {first: number; next: number};
  first: Times;
  next: Times;
  resume: Times;
  /** Of writing as many bytes as the first checkpoint has to one file, and of reading it. */
  write: Times;
  read: Times;
}

/** @param records By backend. */
export function checkpointTables(records: Records<CheckpointTimes>): Table[] {
  return [
    {
      name: 'times',
      caption: 'Checkpoints: bytes written or read, time, and time of the processor',
      header: ['backend', '', 'MB', 's', 'CPU time, s'],
      rows: Object.entries(records).flatMap(([backend, {measured}]) => {
        const {bytes, first, next, resume, write, read} = measured;
        const row = (what: string, size: number, {wall, processor}: Times): string[] => [
          ...[backend, what, megabytes(size)],
          ...[wall, processor].map((time) => (time / 1000).toFixed(2)),
        ];
        return [
          row('the first checkpoint', bytes.first, first),
          row('one after two more steps', bytes.next, next),
          row('resume', bytes.first, resume),
          row('as many bytes, written to one file', bytes.first, write),
          row('and read', bytes.first, read),
        ];
      }),
    },
  ];
}
