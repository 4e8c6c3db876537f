/** Writes what a benchmark found to `bench/results`, with what it takes to repeat it. */
import {execFileSync} from 'node:child_process';
import {mkdirSync, writeFileSync} from 'node:fs';
import {cpus, totalmem} from 'node:os';
import {fileURLToPath} from 'node:url';
import {format, resolveConfig} from 'prettier';

export async function writeRecord(name: string, figures: object): Promise<void> {
  const file = fileURLToPath(new URL(`results/${name}.json`, import.meta.url));
  mkdirSync(new URL('results/', import.meta.url), {recursive: true});
  await writeJson(file, {...provenance(), ...figures});
}

/** Writes as prettier would. */
export async function writeJson(file: string, content: object): Promise<void> {
  const options = await resolveConfig(file);
  writeFileSync(file, await format(JSON.stringify(content), {...options, parser: 'json'}));
}

/** Where and of what figures have been taken. */
export interface Provenance {
  machine: string;
  node: string;
  commit: string;
}

export function provenance(): Provenance {
  return {machine: machine(), node: process.version, commit: commit()};
}

function machine(): string {
  const {model} = cpus()[0]!;
  return `${cpus().length} × ${model}, ${Math.round(totalmem() / 2 ** 30)} GiB`;
}

/** The commit, with `+ changes` if the sources that were measured are not as committed. */
function commit(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, {cwd: import.meta.dirname, encoding: 'utf8'}).trim();
  const changes = git('status', '--porcelain', '--', '../src', '../test/llama', '*.ts', '*.py');
  return git('rev-parse', '--short=12', 'HEAD') + (changes === '' ? '' : ' + changes');
}
