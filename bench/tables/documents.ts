/** The pages of `docs/` that have tables of results, each with what its tables are made of. */
import {fileURLToPath} from 'node:url';
import {summariesIn} from '../compare/summaries';
import {readRecords, type Records} from '../results/store';
import {checkpointTables} from './checkpoint_tables';
import {drawLossAndMemory} from './compare_picture';
import {compareTables, timesTables} from './compare_tables';
import {defaultsTables} from './defaults_tables';
import {writeTables, type Table} from './document';
import {largeCheckpointTables} from './large_checkpoint_tables';
import {memoryTables} from './memory_tables';
import {performanceTables} from './performance_tables';
import {stepTimesTables} from './step_times_tables';
import {sweepTables} from './sweep_tables';
import {timelineTables} from './timeline_tables';

/** Groups of `npm run bench -- performance` with a real model. */
export const realModelGroups: readonly string[] = ['smollm2', 'smollm2-optimizer'];

/** Where `npm run bench -- compare` puts its figures. */
const comparison = fileURLToPath(new URL('../results/compare', import.meta.url));

const ofSmolLM2 = (table: string): string => `smollm2 ${table}`;
const ofDemo = (table: string): string => `demo ${table}`;
/** What `method.md` has of the comparison; `npm run bench -- compare --page` shows all of it. */
const methodTables = [
  ...['main', 'claims', 'tasks', 'samplers', 'confirmation', 'gamma', 'tau'].map(ofSmolLM2),
  ...['improvements', 'frozen', 'bases', 'rates'].map(ofSmolLM2),
  'smollm2-commonsense tasks',
  ...['main', 'claims', 'samplers', 'confirmation', 'gamma', 'tau'].map(ofDemo),
  ...['improvements', 'frozen', 'bases', 'rates'].map(ofDemo),
];

/** The tables of each page, from what the store holds. */
export const documents = {
  'performance.md': () => [
    ...performanceTables(groups((name) => !realModelGroups.includes(name))),
    ...largeCheckpointTables(readRecords('large_checkpoint')),
  ],
  'real-model.md': () => performanceTables(groups((name) => realModelGroups.includes(name))),
  'memory.md': () => [
    ...timelineTables(readRecords('timeline')),
    ...memoryTables(readRecords('memory')),
    ...sweepTables(readRecords('sweep')),
  ],
  'defaults.md': () => [
    ...defaultsTables(readRecords('defaults')),
    ...stepTimesTables(readRecords('step_times')),
  ],
  'checkpoints.md': () => checkpointTables(readRecords('checkpoints')),
  'method.md': () =>
    summariesIn(comparison)
      .flatMap(compareTables)
      .filter(({name}) => methodTables.includes(name))
      .concat(timesTables(readRecords('compare_times'))),
} as const satisfies Record<string, () => Table[]>;

/** The README's picture of methods with a real model, as an SVG. */
export const lossAndMemory = {
  file: new URL('../../docs/loss-and-memory.svg', import.meta.url),
  draw: (): string =>
    drawLossAndMemory(summariesIn(comparison).find(({name}) => name === 'smollm2')!),
};

export type DocumentName = keyof typeof documents;

/** The results of some groups of `npm run bench -- performance`. */
function groups(isWanted: (name: string) => boolean): Records {
  return Object.fromEntries(
    Object.entries(readRecords('performance')).filter(([name]) => isWanted(name)),
  );
}

/** Writes a page's tables anew. */
export async function writeDocument(name: DocumentName): Promise<void> {
  await writeTables(name, documents[name]());
}
