/** The table that `npm run bench -- large_checkpoint` makes of its results. */
import type {LargeOptions} from '../contenders/large_contender';
import type {PeakMemory} from '../harness/contender';
import {median} from '../harness/statistics';
import type {Records} from '../results/store';
import {megabytesIfTold, type Table} from './document';

/** What one run came to. */
export interface LargeRun extends Omit<LargeOptions, 'folder'> {
  parameters: number;
  /** Of the steps that were done. */
  losses: number[];
  /** Milliseconds. */
  times: number[];
  /** The most bytes until the checkpoint was loaded, and in all. */
  loading: PeakMemory | null;
  peak: PeakMemory | null;
  /** Why not all steps were done. */
  error?: string;
}

export const trainingTitles: Readonly<Record<LargeOptions['training'], string>> = {
  owlore: 'this library, OwLore, 2 of 30 blocks',
  full: 'this library, full',
  stock: '`tf.train.adam`, full',
};

export function largeCheckpointTables(records: Records<LargeRun>): Table[] {
  const runs = Object.values(records).map(({measured}) => measured);
  return [
    {
      name: 'large checkpoint',
      caption: 'A large checkpoint: median time of a step, most memory in MB, losses',
      header: [
        ...['', 'training', 'ms', 'process, MB', 'wasm, MB', 'tensors, MB'],
        'loss, first → last',
      ],
      rows: runs.map((run) => [run.backend, trainingTitles[run.training], ...cells(run)]),
    },
  ];
}

function cells({losses, times, peak, error}: LargeRun): string[] {
  if (error !== undefined) return ['', '', '', '', `after ${losses.length} steps: \`${error}\``];
  return [
    median(times).toFixed(0),
    ...[peak?.resident, peak?.wasm, peak?.tensors].map(megabytesIfTold),
    `${losses[0]!.toFixed(2)} → ${losses.at(-1)!.toFixed(2)}`,
  ];
}
