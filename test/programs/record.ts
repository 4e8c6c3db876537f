import {readFileSync, writeFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import type {BackendName} from '../support/backends';
import {programs} from './programs';

/** Parts of Adam's progress that a program made; null for a program without blocks. */
export interface ProgramResult {
  optimizer: number;
  sampling: number | null;
}

/** Results by program and backend. */
export type CompatibilityRecord = Record<string, Partial<Record<BackendName, ProgramResult>>>;

const file = fileURLToPath(new URL('../programs/record.json', import.meta.url));

/** What docs/limits.md says in words. */
export function readRecord(): CompatibilityRecord {
  return JSON.parse(readFileSync(file, 'utf8')) as CompatibilityRecord;
}

/** Puts a backend's results, by program, into the record, if `OWLORE_RECORD` asks for it. */
export function saveResults(backend: BackendName, results: Record<string, ProgramResult>): void {
  if (!process.env.OWLORE_RECORD) return;
  const record = readRecord();
  const entries = programs.map(({title}) => {
    const found = results[title];
    return [title, {...record[title], ...(found ? {[backend]: rounded(found)} : {})}] as const;
  });
  writeFileSync(file, `${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`);
}

/** Two decimals. */
function rounded({optimizer, sampling}: ProgramResult): ProgramResult {
  const round = (value: number): number => Math.round(100 * value) / 100;
  return {optimizer: round(optimizer), sampling: sampling === null ? null : round(sampling)};
}

const backends: readonly BackendName[] = ['cpu', 'wasm', 'tensorflow', 'webgpu', 'webgl'];

/** A table in Markdown: a program a row, its least and its highest result of all backends in percent. */
export function compatibilityTable(record: CompatibilityRecord): string {
  const rows = programs.map(({title, uses}) => {
    const results = record[title] ?? {};
    const all = Object.values(results);
    return [
      `${title}: ${uses}`,
      range(all.map(({optimizer}) => optimizer)),
      range(all.flatMap(({sampling}) => sampling ?? [])),
      backends.filter((backend) => !(backend in results)).join(', '),
    ];
  });
  const header = ['program', 'in the place of Adam', 'and sampled', 'not on'];
  return [header, header.map(() => '---'), ...rows]
    .map((row) => `| ${row.join(' | ')} |`)
    .join('\n');
}

/** Margins of programs that have none of their own. */
export const defaultMargins = {optimizer: 0.02, sampling: 0.3};

/** `99 to 100`; nothing without values. */
function range(parts: readonly number[]): string {
  if (parts.length === 0) return '';
  const [min, max] = [Math.min(...parts), Math.max(...parts)].map((part) =>
    (100 * part).toFixed(0),
  );
  return min === max ? min! : `${min!} to ${max!}`;
}
