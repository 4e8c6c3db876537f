/** The table of `docs/measurements.md` that `npm run bench -- memory_timeline` makes of its results. */
import {categories, type Sample} from '../harness/live_bytes';
import type {Records} from '../results/store';
import {megabytes, type Table} from './document';

/** What is alive at the peak of a step. */
export interface TimelineMeasurements {
  peaks: Array<Sample & {title: string}>;
}

export function timelineTables(records: Records<TimelineMeasurements>): Table[] {
  return Object.values(records).map(({measured}) => ({
    name: 'timeline',
    caption: 'What is alive at the peak of a step of full fine-tuning, MB',
    header: ['', ...categories, 'all'],
    rows: measured.peaks.map(({title, ...sample}) => {
      const bytes = [...categories.map((category) => sample[category]), total(sample)];
      return [title, ...bytes.map(megabytes)];
    }),
  }));
}

/** Live bytes of all categories. */
export function total(sample: Sample): number {
  return categories.reduce((sum, category) => sum + sample[category], 0);
}
