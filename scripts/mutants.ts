/**
 * Whether tests notice small faults: Stryker changes the sources of a room in one place at a time (a comparison, a sum, a condition, a
 * block that is left out …) and runs the tests of the same room on the cpu backend.
 *
 *   npx tsx scripts/mutants.ts                              all rooms: hours
 *   npx tsx scripts/mutants.ts owlore/scores                       one of them, or several
 *   npx tsx scripts/mutants.ts owlore/scores/block_influence.ts    a file of one
 *
 * Prints each fault that no test has noticed, and a table. Fails if the tests of a room notice fewer than 85 %, or if a fault stays
 * that `known_mutants.ts` does not account for. Changed texts are left out, since most are messages; so are constants of a module,
 * for which each test would need a process of its own.
 */
import {Stryker} from '@stryker-mutator/core';
import {readFileSync} from 'node:fs';
import {availableParallelism} from 'node:os';
import {join, relative} from 'node:path';
import {newTable} from '../src/cli/table';
import {knownMutants} from './known_mutants';

/** Of 100 faults, how many the tests of a room must notice at least. */
const GOAL = 85;

const folders = [
  'owlore/sampling',
  'owlore/scores',
  'owlore/optimizer',
  'model',
  'checkpoint',
  'files',
  'tape',
];

/** What stands beside a room's folder and belongs to it. */
const beside: Record<string, {sources: string[]; tests: string[]}> = {
  'owlore/optimizer': {
    sources: ['owlore/owlore_optimizer.ts'],
    tests: ['owlore/owlore_optimizer_test.ts'],
  },
  'owlore/sampling': {
    sources: ['owlore/layer_sampling_callback.ts'],
    tests: [
      // Without the runs of layer_sampling_training_test.ts, which are about the optimizer and take minutes.
      'owlore/layer_sampling_callback_test.ts',
      'owlore/layer_sampling_models_test.ts',
      // Callback and optimizer together.
      'owlore/sampling_plan_test.ts',
    ],
  },
};

type Result = Awaited<ReturnType<Stryker['runMutationTest']>>[number];

interface Outcome {
  faults: number;
  noticed: number;
  /** Of those that were not noticed: the ones that change nothing that a user could see. */
  equivalent: number;
  /** The others, a line each. */
  left: string[];
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !folders.includes(roomOf(name)));
if (unknown.length > 0) {
  process.stderr.write(`no such room: ${unknown.join(', ')}; there are ${folders.join(', ')}\n`);
  process.exit(1);
}
process.env.OWLORE_BACKENDS = 'cpu';

const rows = newTable(
  ['room', 'faults', 'noticed', '%', 'change nothing', 'left'],
  [1, 2, 3, 4, 5],
);
for (const name of wanted.length > 0 ? wanted : folders) {
  const {faults, noticed, equivalent, left} = await outcomeOf(name);
  const percent = (100 * noticed) / faults;
  rows.push([name, faults, noticed, percent.toFixed(1), equivalent, left.length]);
  console.log([`\n${name}: not noticed`, ...left].join('\n'));
  if (percent < GOAL || left.length > 0) process.exitCode = 1;
}
console.log(rows.toString());

/** Of a room's name, or of a file's in it or beside it. */
function roomOf(name: string): string {
  const owner = Object.entries(beside).find(([, {sources}]) => sources.includes(name));
  return owner?.[0] ?? folders.find((room) => `${name}/`.startsWith(`${room}/`)) ?? name;
}

/** @param name A room's, or a file's. */
async function outcomeOf(name: string): Promise<Outcome> {
  const room = roomOf(name);
  const {sources = [], tests = []} = beside[room] ?? {};
  const roomFiles = [`src/${room}/**/*.ts`, ...sources.map((path) => `src/${path}`)];
  const stryker = new Stryker({
    testRunner: 'mocha',
    mutate: name === room ? roomFiles : [`src/${name}`],
    mochaOptions: {
      config: '.mocharc.one.json',
      spec: [`${room}/**/*_test.ts`, ...tests].map((path) => `test/${path}`),
    },
    // What .mocharc.one.json imports, which Stryker leaves to Node.
    testRunnerNodeArgs: ['--import', 'tsx', '--import', './test/support/load_backends.ts'],
    coverageAnalysis: 'perTest',
    ignoreStatic: true,
    mutator: {excludedMutations: ['StringLiteral']},
    concurrency: availableParallelism(),
    reporters: ['progress'],
    // A fault that makes a loop endless; a busy machine must not look like one.
    timeoutMS: 60_000,
    tempDirName: '.stryker-tmp',
    cleanTempDir: 'always',
  });
  const results = (await stryker.runMutationTest()).filter(({status}) => status !== 'Ignored');
  const survivors = results.filter(({status}) => status === 'Survived' || status === 'NoCoverage');
  const isKnown = (result: Result): boolean => {
    const {file, from, to} = changeOf(result);
    return (knownMutants[file] ?? []).some((known) => known.from === from && known.to === to);
  };
  return {
    faults: results.length,
    noticed: results.length - survivors.length,
    equivalent: survivors.filter(isKnown).length,
    left: survivors.filter((result) => !isKnown(result)).map(described),
  };
}

/** A change as it is written in `known_mutants.ts`: the code before and after, with all white space as one blank. */
function changeOf({fileName, location: {start, end}, replacement}: Result): {
  file: string;
  from: string;
  to: string;
} {
  const lines = readFileSync(fileName, 'utf8')
    .split('\n')
    .slice(start.line - 1, end.line);
  lines[lines.length - 1] = lines.at(-1)!.slice(0, end.column - 1);
  lines[0] = lines[0]!.slice(start.column - 1);
  const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ');
  const file = relative(join(process.cwd(), 'src'), fileName);
  return {file, from: oneLine(lines.join('\n')), to: oneLine(replacement ?? '')};
}

function described(result: Result): string {
  const {file, from, to} = changeOf(result);
  const untested = result.status === 'NoCoverage' ? ' (no test runs it)' : '';
  return `  ${file}:${result.location.start.line}  ${from}  →  ${to}${untested}`;
}
