import {spawn} from 'node:child_process';
import {cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {availableParallelism, tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {tapeMutants} from '../test/tape/mutants';
import {mutate} from '../tools/mutate';

/**
 * Checks that the tape's tests notice broken code: breaks each mechanism of the gradient tape (test/tape/mutants.ts) in a copy of
 * the sources of its own, and runs the tests there on the cpu backend. Prints which test fails first. Fails if none does, if the
 * code to change is not found, or if no test has run.
 */
const mutants = Object.entries(tapeMutants).flatMap(([file, places]) =>
  Object.entries(places).flatMap(([place, ofPlace]) =>
    ofPlace.map((mutant) => ({file, place, mutant, mechanism: mutant.mechanism})),
  ),
);

/** Milliseconds, enough for a machine that is busy with other work. */
const RUN_TIMEOUT = 600_000;
const TEST_TIMEOUT = 120_000;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const temporary = mkdtempSync(join(tmpdir(), 'mutants-'));
try {
  process.exitCode = await runAll();
} finally {
  rmSync(temporary, {recursive: true});
}

/** Runs the tests on the sources as they are, which must pass, and on all mutants; returns the exit code. */
async function runAll(): Promise<number> {
  const intact = copySources('intact');
  for (const errors of [false, true]) {
    const failure = await firstFailure(intact, errors);
    if (failure !== null) throw new Error(`Without a mutation there fails: ${failure}`);
  }
  const sources = mutants.map(mutatedSources);
  const killers: Array<string | null> = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < mutants.length) {
      const i = next++;
      killers[i] = await firstFailure(sources[i]!, mutants[i]!.mutant.errors ?? false);
    }
  };
  await Promise.all(Array.from({length: Math.min(2, availableParallelism())}, work));

  const width = Math.max(...mutants.map(({mechanism}) => mechanism.length));
  mutants.forEach(({mechanism}, i) => {
    console.log(`${mechanism.padEnd(width)}  ${killers[i] ?? 'SURVIVES'}`);
  });
  const survivors = killers.filter((killer) => killer === null).length;
  console.log(`\n${mutants.length} mutants, ${survivors} survive`);
  return survivors > 0 ? 1 : 0;
}

/** Makes a copy of what the tape's tests need; returns its folder. */
function copySources(name: string): string {
  const folder = join(temporary, name);
  const needed = ['package.json', 'tsconfig.json', 'src', 'tools', 'test/support', 'test/tape'];
  for (const path of needed) cpSync(join(root, path), join(folder, path), {recursive: true});
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const config = JSON.parse(readFileSync(join(root, '.mocharc.json'), 'utf8')) as object;
  const ownConfig = {
    ...config,
    ...{spec: ['test/tape/*_test.ts'], reporter: 'json', bail: true, timeout: TEST_TIMEOUT},
    parallel: false, // several mutants are tried at once
  };
  writeFileSync(join(folder, '.mocharc.json'), JSON.stringify(ownConfig));
  return folder;
}

/** A copy with one mutant; returns its folder. */
function mutatedSources({file, place, mutant}: (typeof mutants)[number], index: number): string {
  const folder = copySources(String(index));
  const path = join(folder, 'src', file);
  writeFileSync(path, mutate(readFileSync(path, 'utf8'), `src/${file}`, place, mutant));
  return folder;
}

/** The title of the test that fails first; null if all pass. */
function firstFailure(folder: string, ofErrors: boolean): Promise<string | null> {
  const mocha = join(root, 'node_modules/mocha/bin/mocha.js');
  const grep = ['--grep', 'an error', ...(ofErrors ? [] : ['--invert'])];
  const child = spawn(process.execPath, [mocha, ...grep], {
    cwd: folder,
    env: {...process.env, OWLORE_BACKENDS: 'cpu'},
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: RUN_TIMEOUT,
  });
  let [output, errors] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      const title = code === 0 ? null : failedTest(output);
      const end = signal === null ? `with code ${code}` : `by ${signal}`;
      if (title !== undefined) resolve(title);
      else
        reject(
          new Error(`mocha ended ${end} in ${folder}, before it ran a test:\n${errors}${output}`),
        );
    });
  });
}

/** The first failure in what mocha's json reporter has printed; undefined if it has printed none. */
function failedTest(output: string): string | undefined {
  try {
    const {failures} = JSON.parse(output.slice(output.indexOf('{\n'))) as MochaReport;
    return failures[0]?.fullTitle;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

interface MochaReport {
  failures: Array<{fullTitle: string}>;
}
