/**
 * The store of results: `bench/results/<benchmark>.json` holds the last record of each part of a benchmark. This file alone reads
 * and writes it; the tables of `docs/` are made of what it holds.
 */
import {execFileSync} from 'node:child_process';
import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import {cpus, loadavg, totalmem} from 'node:os';
import {fileURLToPath} from 'node:url';
import {format, resolveConfig} from 'prettier';
import type {Figure} from './figure';

/** The benchmarks that leave results, each with its file. */
export type Benchmark =
  | 'performance'
  | 'large_checkpoint'
  | 'memory'
  | 'sweep'
  | 'timeline'
  | 'defaults'
  | 'step_times'
  | 'checkpoints'
  | 'compare_times'
  | 'tab';

/** Where, when and of what something was measured. */
export interface Provenance {
  machine: string;
  node: string;
  /** The commit, with ` + changes` if the sources were not as committed. */
  commit: string;
  /** The day, as in 2026-01-31. */
  date: string;
  /** Processes waiting for a processor before the run, averaged over a minute: near 0 on a quiet machine. Null: not measured. */
  load: number | null;
}

/** What a part of a benchmark has found. */
export interface Findings<Measured extends object = object> {
  /** The main figures, with their goals. */
  figures?: Figure[];
  /** The measurements behind the figures and the tables: times, bytes, versions. */
  measured: Measured;
  /** What was not measured, and what this machine lacks for it. */
  skipped?: string[];
}

/** One entry of the store. */
export type ResultRecord<Measured extends object = object> = Provenance & Findings<Measured>;

/** The records of a benchmark by the names of its parts. */
export type Records<Measured extends object = object> = Readonly<
  Record<string, ResultRecord<Measured>>
>;

/** The name of the only part of a benchmark that is not divided. */
export const WHOLE = 'whole';

/** The records of a benchmark; none if it has never been run. */
export function readRecords<Measured extends object>(benchmark: Benchmark): Records<Measured> {
  const file = fileOf(benchmark);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Records<Measured>) : {};
}

/**
 * Puts the record of a part in the place of its last one, and returns all of the benchmark.
 *
 * @param order The parts that the benchmark has, in their order.
 */
export async function writeRecord<Measured extends object>(
  benchmark: Benchmark,
  part: string,
  record: ResultRecord<Measured>,
  order: readonly string[] = [part],
): Promise<Records<Measured>> {
  const records = withRecord(readRecords<Measured>(benchmark), part, record, order);
  const file = fileOf(benchmark);
  const style = await resolveConfig(file);
  writeFileSync(file, await format(JSON.stringify(records), {...style, parser: 'json'}));
  return records;
}

/** `records` with one of them replaced; parts that are not in `order` are dropped. */
export function withRecord<Measured extends object>(
  records: Records<Measured>,
  part: string,
  record: ResultRecord<Measured>,
  order: readonly string[],
): Records<Measured> {
  const all = {...records, [part]: record};
  return Object.fromEntries(order.flatMap((name) => (all[name] ? [[name, all[name]]] : [])));
}

/** Call this before the run, which would itself add to the load. */
export function provenance(): Provenance {
  return {
    machine: machine(),
    node: process.version,
    commit: commit(),
    date: new Date().toISOString().slice(0, 10),
    load: loadavg()[0]!,
  };
}

function fileOf(benchmark: Benchmark): string {
  return fileURLToPath(new URL(`${benchmark}.json`, import.meta.url));
}

function machine(): string {
  const {model} = cpus()[0]!;
  return `${cpus().length} × ${model}, ${Math.round(totalmem() / 2 ** 30)} GiB`;
}

function commit(): string {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const git = (...args: string[]): string =>
    execFileSync('git', args, {cwd: root, encoding: 'utf8'}).trim();
  const measured = ['src', 'tools', 'bench/*.ts', 'bench/*.py'];
  const changes = git('status', '--porcelain', '--', ...measured);
  return git('rev-parse', '--short=12', 'HEAD') + (changes === '' ? '' : ' + changes');
}
