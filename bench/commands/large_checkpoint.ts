/**
 * Time and memory of fine-tuning a checkpoint of 134.5 million parameters, on tensorflow and wasm.
 *
 *   npm run bench -- large_checkpoint                                        # over ten minutes, and 10 GB of memory
 *   npm run bench -- large_checkpoint --only "wasm owlore,wasm full"         # some of the runs; the others keep the results they have
 *   npm run bench -- large_checkpoint --folder FOLDER                        # a checkpoint of your own; default: made at random
 *   npm run bench -- large_checkpoint --steps 5
 *
 * In batches of one sequence of 256 tokens: OwLore with two of 30 blocks on, and full fine-tuning by this library's optimizer and by
 * `tf.train.adam`. Each run is a process of its own, one after the other; times are only as good as the machine was quiet. Writes
 * `bench/results/large_checkpoint.json`. A run that fails, for example because memory runs out, is recorded with its error.
 */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {smolLM2, writeRandomCheckpoint} from '../../tools/random_checkpoint';
import type {LargeOptions} from '../contenders/large_contender';
import {compile} from '../harness/compile';
import {Contender} from '../harness/contender';
import {provenance, writeRecord} from '../results/store';
import {printTables} from '../tables/document';
import {
  largeCheckpointTables,
  trainingTitles,
  type LargeRun,
} from '../tables/large_checkpoint_tables';

const TOKENS = 256;

const backends = ['tensorflow', 'wasm'] as const satisfies Array<LargeOptions['backend']>;

const all = backends.flatMap((backend) =>
  (Object.keys(trainingTitles) as Array<LargeOptions['training']>).map((training) => ({
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

const script = await compile(
  fileURLToPath(new URL('../contenders/large_contender.ts', import.meta.url)),
);
const made = values.folder === undefined ? makeCheckpoint() : null;
try {
  for (const {name, backend, training} of all) {
    if (!only.includes(name)) continue;
    const folder = values.folder ?? made!;
    const before = provenance();
    const measured = await measure(
      {folder, backend, training, tokens: TOKENS},
      Number(values.steps),
    );
    const order = all.map((run) => run.name);
    const records = await writeRecord('large_checkpoint', name, {...before, measured}, order);
    printTables(largeCheckpointTables(records));
  }
} finally {
  if (made !== null) rmSync(made, {recursive: true});
}

function makeCheckpoint(): string {
  const folder = mkdtempSync(join(tmpdir(), 'owlore-checkpoint-'));
  writeRandomCheckpoint(folder, smolLM2);
  return folder;
}

async function measure({folder, ...options}: LargeOptions, steps: number): Promise<LargeRun> {
  const run: LargeRun = {
    ...options,
    ...{parameters: 0, losses: [], times: [], loading: null, peak: null},
  };
  let contender: Contender | undefined;
  try {
    contender = await Contender.start({
      title: `${options.backend}, ${trainingTitles[options.training]}`,
      command: process.execPath,
      args: ['--expose-gc', script, JSON.stringify({folder, ...options})],
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
