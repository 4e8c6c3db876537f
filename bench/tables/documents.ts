/** The pages of `docs/` that have tables of results, each with what its tables are made of. */
import {fileURLToPath} from 'node:url';
import {summariesIn} from '../compare/summaries';
import {readRecords} from '../results/store';
import {checkpointTables} from './checkpoint_tables';
import {drawLossAndMemory} from './compare_picture';
import {compareTables, timesTables} from './compare_tables';
import {writeTables, type Table} from './document';
import {performanceTables} from './performance_tables';
import {timelineTables} from './timeline_tables';

/** Groups of `npm run bench -- performance` with a real model. */
export const realModelGroups: readonly string[] = [
  'smollm2',
  'smollm2-optimizer',
  'smollm2-threads',
];

/** Where `npm run bench -- compare` puts its figures. */
const comparison = fileURLToPath(new URL('../results/compare', import.meta.url));

/** The tables of each page, from what the store holds: fewer, and with fewer columns, than the commands print. */
export const documents = {
  'measurements.md': () => [
    ...named(performanceTables(readRecords('performance')), 'wasm steps').map((table) =>
      columns(table, 0, 1, 4, 5, 6),
    ),
    ...named(performanceTables(readRecords('performance')), 'tensorflow steps').map((table) =>
      columns(table, 0, 1, 4, 6),
    ),
    ...timelineTables(readRecords('timeline')),
    ...named(comparisonTables(), 'smollm2 claims').map((table) => columns(table, 0, 1, 2, 3, 5)),
  ],
  'method.md': () => [
    ...named(comparisonTables(), 'smollm2 main', 'smollm2 frozen').map((table) =>
      columns(table, 0, 1, 2, 3, 4, 7),
    ),
    ...named(comparisonTables(), 'smollm2 rates'),
    ...named(timesTables(readRecords('compare_times')), 'smollm2 times'),
  ],
  'checkpoints.md': () => checkpointTables(readRecords('checkpoints')),
} as const satisfies Record<string, () => Table[]>;

/** The README's picture of methods with a real model, as an SVG. */
export const lossAndMemory = {
  file: new URL('../../docs/loss-and-memory.svg', import.meta.url),
  draw: (): string =>
    drawLossAndMemory(summariesIn(comparison).find(({name}) => name === 'smollm2')!),
};

export type DocumentName = keyof typeof documents;

/** All tables of the comparison; `npm run bench -- compare --page` shows them. */
function comparisonTables(): Table[] {
  return summariesIn(comparison).flatMap(compareTables);
}

/** Those of some tables that have one of these names. */
function named(tables: readonly Table[], ...names: readonly string[]): Table[] {
  return tables.filter(({name}) => names.includes(name));
}

/** A table with some of its columns, by their places. */
function columns({header, rows, ...rest}: Table, ...places: readonly number[]): Table {
  const chosen = (cells: readonly string[]): string[] => places.map((place) => cells[place]!);
  return {...rest, header: chosen(header), rows: rows.map(chosen)};
}

/** Writes a page's tables anew. */
export async function writeDocument(name: DocumentName): Promise<void> {
  await writeTables(name, documents[name]());
}
