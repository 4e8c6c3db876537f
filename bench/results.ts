/** `bench/results.json`: what the last run of each group of `npm run bench` has found, with what it takes to repeat it. */
import {existsSync, readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import type {GroupResult} from './figure';
import {writeJson, type Provenance} from './record';

export interface GroupRecord extends Provenance, GroupResult {
  /** The day, as in 2026-01-31. */
  date: string;
  /** Processes that wanted a processor before the run, averaged over a minute: near 0 on a quiet machine. */
  load: number;
}

/** By the names of the groups. */
export type Results = Readonly<Record<string, GroupRecord>>;

const file = fileURLToPath(new URL('results.json', import.meta.url));

export function readResults(): Results {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Results) : {};
}

export async function writeResults(results: Results): Promise<void> {
  await writeJson(file, results);
}

/** `results` with the record of a group in place of its last one; the groups in the order of `order`. */
export function withGroup(
  results: Results,
  group: string,
  record: GroupRecord,
  order: readonly string[],
): Results {
  const all = {...results, [group]: record};
  return Object.fromEntries(order.flatMap((name) => (all[name] ? [[name, all[name]]] : [])));
}
