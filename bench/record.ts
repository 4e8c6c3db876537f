/** Writes what a benchmark found to `bench/results`, with what it takes to repeat it. */
import {execFileSync} from 'node:child_process';
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {cpus, totalmem} from 'node:os';

export function writeRecord(name: string, figures: object): void {
  const folder = new URL('results/', import.meta.url);
  mkdirSync(folder, {recursive: true});
  const record = {machine: machine(), node: process.version, commit: commit(), ...figures};
  writeFileSync(new URL(`${name}.json`, folder), `${JSON.stringify(record, null, 2)}\n`);
}

export function readRecord(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`results/${name}.json`, import.meta.url), 'utf8'));
}

function machine(): string {
  const {model} = cpus()[0]!;
  return `${cpus().length} × ${model}, ${Math.round(totalmem() / 2 ** 30)} GiB`;
}

/** The commit, with `+ changes` if the sources that were measured are not as committed. */
function commit(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, {cwd: import.meta.dirname, encoding: 'utf8'}).trim();
  const changes = git('status', '--porcelain', '--', '../src', '../test/llama', '*.ts');
  return git('rev-parse', '--short=12', 'HEAD') + (changes === '' ? '' : ' + changes');
}
