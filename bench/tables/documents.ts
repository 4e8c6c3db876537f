/** The pages of `docs/` that have tables of results, each with what its tables are made of. */
import {readRecords} from '../results/store';
import {checkpointTables} from './checkpoint_tables';
import {defaultsTables} from './defaults_tables';
import {writeTables, type Table} from './document';
import {largeCheckpointTables} from './large_checkpoint_tables';
import {memoryTables} from './memory_tables';
import {performanceTables} from './performance_tables';
import {sweepTables} from './sweep_tables';
import {timelineTables} from './timeline_tables';

/** The tables of each page, from what the store holds. */
export const documents = {
  'performance.md': () => [
    ...performanceTables(readRecords('performance')),
    ...largeCheckpointTables(readRecords('large_checkpoint')),
  ],
  'memory.md': () => [
    ...timelineTables(readRecords('timeline')),
    ...memoryTables(readRecords('memory')),
    ...sweepTables(readRecords('sweep')),
  ],
  'defaults.md': () => defaultsTables(readRecords('defaults')),
  'checkpoints.md': () => checkpointTables(readRecords('checkpoints')),
} as const satisfies Record<string, () => Table[]>;

export type DocumentName = keyof typeof documents;

/** Writes a page's tables anew. */
export async function writeDocument(name: DocumentName): Promise<void> {
  await writeTables(name, documents[name]());
}
