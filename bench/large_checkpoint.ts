/**
 * What fine-tuning a checkpoint of 134.5 million parameters takes, batches of one sequence of 256 tokens: OwLore with two of
 * 30 blocks on, and full fine-tuning by this library's optimizer and by `tf.train.adam`, on tensorflow and wasm:
 *
 *   npm run bench:large                                        # over ten minutes, and 10 GB of memory
 *   npm run bench:large -- --only "wasm owlore,wasm full"      # some of the runs; the others keep the results they have
 *   npm run bench:large -- --folder <folder>                   # a checkpoint of your own; default: made at random
 *   npm run bench:large -- --steps 5
 *
 * Each run is a process of its own, one after the other; each time a step is as good as the machine was quiet. Writes
 * `bench/results/large_checkpoint.json` and the table of `docs/performance.md`. A run that fails, for want of memory say, is
 * written down with its error.
 */
import {existsSync, mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {loadavg, tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {compile} from './interleaved/compile';
import {Contender, type PeakMemory} from './interleaved/contender';
import type {LargeOptions} from './large_contender';
import {smolLM2, writeRandomCheckpoint} from './random_checkpoint';
import {provenance, writeJson, type Provenance} from './record';
import {megabytes, Report} from './report';
import {median} from './statistics';

const TOKENS = 256;

const backends = ['tensorflow', 'wasm'] as const satisfies Array<LargeOptions['backend']>;

const trainings: Readonly<Record<LargeOptions['training'], string>> = {
  owlore: 'this library, OwLore, 2 of 30 blocks',
  full: 'this library, full',
  stock: '`tf.train.adam`, full',
};

/** What one run came to. */
interface Run extends Provenance {
  date: string;
  /** Processes that wanted a processor before the run, averaged over a minute. */
  load: number;
  parameters: number;
  /** Of the steps that were done. */
  losses: number[];
  times: number[];
  /** The most bytes until the checkpoint was loaded, and in all. */
  loading: PeakMemory | null;
  peak: PeakMemory | null;
  /** Why not all steps were done. */
  error?: string;
}

type Runs = Readonly<Record<string, Run>>;

const all = backends.flatMap((backend) =>
  (Object.keys(trainings) as Array<LargeOptions['training']>).map((training) => ({
    name: `${backend} ${training}`,
    backend,
    training,
  })),
);
const {values} = parseArgs({
  options: {
    only: {type: 'string', default: all.map(({name}) => name).join()},
    folder: {type: 'string'},
    steps: {type: 'string', default: '20'},
  },
});
const only = values.only.split(',');
const unknown = only.filter((name) => !all.some((run) => run.name === name));
if (unknown.length > 0) {
  console.error(`no run ${unknown.join()}; there are ${all.map(({name}) => name).join()}`);
  process.exit(2);
}

const file = fileURLToPath(new URL('results/large_checkpoint.json', import.meta.url));
const script = await compile(fileURLToPath(new URL('large_contender.ts', import.meta.url)));
const made = values.folder === undefined ? makeCheckpoint() : null;
try {
  for (const {name, backend, training} of all) {
    if (!only.includes(name)) continue;
    const folder = values.folder ?? made!;
    const run = await measure({folder, backend, training, tokens: TOKENS}, Number(values.steps));
    const runs = {...readRuns(), [name]: run};
    await writeJson(file, inOrder(runs));
    await tabulate(runs);
  }
} finally {
  if (made !== null) rmSync(made, {recursive: true});
}

function makeCheckpoint(): string {
  const folder = mkdtempSync(join(tmpdir(), 'owlore-checkpoint-'));
  writeRandomCheckpoint(folder, smolLM2);
  return folder;
}

async function measure(options: LargeOptions, steps: number): Promise<Run> {
  const run: Run = {
    ...provenance(),
    date: new Date().toISOString().slice(0, 10),
    load: loadavg()[0]!,
    parameters: 0,
    losses: [],
    times: [],
    loading: null,
    peak: null,
  };
  let contender: Contender | undefined;
  try {
    contender = await Contender.start({
      title: `${options.backend}, ${trainings[options.training]}`,
      command: process.execPath,
      args: ['--expose-gc', script, JSON.stringify(options)],
      warmUp: 0,
      steps,
    });
    run.parameters = contender.about.parameters;
    run.loading = await contender.peakMemory();
    for (let step = 0; step < steps; step++) {
      const {loss, milliseconds} = await contender.step();
      run.losses.push(loss);
      run.times.push(milliseconds);
    }
    run.peak = await contender.peakMemory();
  } catch (error) {
    const {message} = error as Error;
    console.error(message);
    run.error = /^.*Error: .*$/m.exec(message)?.[0].trim() ?? message;
  } finally {
    contender?.end();
  }
  return run;
}

function readRuns(): Runs {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Runs) : {};
}

function inOrder(runs: Runs): Runs {
  return Object.fromEntries(all.flatMap(({name}) => (runs[name] ? [[name, runs[name]]] : [])));
}

async function tabulate(runs: Runs): Promise<void> {
  const report = new Report('performance.md');
  report.table(
    'large checkpoint',
    `${TOKENS} tokens a step: median time of a step, most memory in MB, losses`,
    ['', 'training', 'ms', 'process, MB', 'wasm, MB', 'tensors, MB', 'loss, first → last'],
    all.flatMap(({name, backend, training}) => {
      const run = runs[name];
      return run ? [[backend, trainings[training], ...cells(run)]] : [];
    }),
  );
  await report.writeDocs();
}

function cells({losses, times, peak, error}: Run): string[] {
  const bytes = (count: number | undefined): string =>
    count === undefined ? '' : megabytes(count);
  if (error !== undefined) return ['', '', '', '', `after ${losses.length} steps: \`${error}\``];
  return [
    median(times).toFixed(0),
    bytes(peak?.resident),
    bytes(peak?.wasm),
    bytes(peak?.tensors),
    `${losses[0]!.toFixed(2)} → ${losses.at(-1)!.toFixed(2)}`,
  ];
}
