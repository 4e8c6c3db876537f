/**
 * Steps against stock tfjs, PyTorch and jax-js, and what the optimizer costs; in groups.
 *
 *   npm run bench -- performance
 *   npm run bench -- performance --only wasm,tensorflow     # some of the groups; the others keep the results they have
 *   npm run bench -- performance --python venv/bin/python   # a Python with torch and transformers; default: $PYTHON, or python3
 *   npm run bench -- performance --model smollm2            # the folder of SmolLM2-135M-Instruct, for the groups smollm2, smollm2-optimizer and smollm2-threads
 *   npm run bench -- performance --rounds 5                 # more or fewer turns than a group takes by itself
 *   npm run bench -- performance --tiny                     # all groups on tiny models in three minutes: whether they run; writes nothing
 *
 * Writes `bench/results/performance.json` and the tables of `docs/measurements.md`. A time is as good as the machine was quiet, a ratio better: both sides of it take turns. What this machine
 * lacks is named and left out; exits with 1 if anything failed.
 */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import type {MeasureGroup} from '../groups/group';
import {FAILED} from '../harness/run';
import {runApart} from '../harness/run_apart';
import {provenance, writeRecord} from '../results/store';
import {printTables} from '../tables/document';
import {realModelGroups, writeDocument} from '../tables/documents';
import {performanceTables} from '../tables/performance_tables';
import {smolLM2, writeRandomCheckpoint} from '../../tools/random_checkpoint';

const groups: Readonly<Record<string, () => Promise<{measure: MeasureGroup}>>> = {
  wasm: () => import('../groups/wasm_steps'),
  threads: () => import('../groups/thread_steps'),
  'threads-chromium': () => import('../groups/thread_steps_in_chromium'),
  'threads-limits': () => import('../groups/thread_limits'),
  'shared-memory': () => import('../groups/shared_memory'),
  loop: () => import('../groups/loop_steps'),
  tensorflow: () => import('../groups/tensorflow_steps'),
  model: () => import('../groups/model_passes'),
  optimizer: () => import('../groups/optimizer_share'),
  webgpu: () => import('../groups/webgpu_kernels'),
  smollm2: () => import('../groups/smollm2_steps'),
  'smollm2-optimizer': () => import('../groups/smollm2_optimizer'),
  'smollm2-threads': () => import('../groups/smollm2_threads'),
};

const {values} = parseArgs({
  options: {
    only: {type: 'string', default: Object.keys(groups).join()},
    python: {type: 'string', default: process.env['PYTHON'] ?? 'python3'},
    rounds: {type: 'string'},
    model: {type: 'string'},
    tiny: {type: 'boolean', default: false},
  },
});
const names = values.only.split(',');
const unknown = names.filter((name) => !(name in groups));
if (unknown.length > 0) {
  console.error(`no group ${unknown.join(', ')}; there are ${Object.keys(groups).join(', ')}`);
  process.exit(2);
}

const needsModel = names.some((name) => realModelGroups.includes(name));
const made = values.tiny && needsModel && values.model === undefined ? makeTinyModel() : undefined;
const model = values.model ?? made;
try {
  for (const name of model === undefined ? realModelGroups : []) {
    if (!names.includes(name)) continue;
    console.log(`${name}: not measured; it needs --model, the folder of SmolLM2-135M-Instruct`);
    names.splice(names.indexOf(name), 1);
  }
  if (names.length === 1) await measureGroup(names[0]!);
  else for (const name of names) runApart(import.meta.url, {...values, model, only: name});
} finally {
  if (made !== undefined) rmSync(made, {recursive: true});
}

/** SmolLM2-135M with as many blocks, but an eighth as wide. */
function makeTinyModel(): string {
  const folder = mkdtempSync(join(tmpdir(), 'owlore-bench-'));
  const narrow = {hidden_size: 72, intermediate_size: 192, vocab_size: 2 ** 15};
  writeRandomCheckpoint(folder, {...smolLM2, ...narrow});
  return folder;
}

async function measureGroup(name: string): Promise<void> {
  const {python, tiny} = values;
  const rounds = values.rounds ?? (tiny ? '1' : undefined);
  const before = provenance();
  console.log(`${name}: measuring; load of the machine before: ${before.load!.toFixed(1)}`);
  const {measure} = await groups[name]!();
  const findings = await measure({tiny, python, model, ...(rounds && {rounds: Number(rounds)})});
  const record = {...before, ...findings};
  const tables = performanceTables({[name]: record});
  for (const line of findings.skipped ?? []) {
    console.log(`${name}: not measured: ${line.split('\n')[0]}`);
    if (line.startsWith(FAILED)) process.exitCode = 1;
  }
  if (tiny) {
    console.log(`${name}: it runs, with ${findings.figures.length} figures`);
    return;
  }
  printTables(tables);
  await writeRecord('performance', name, record, Object.keys(groups));
  await writeDocument('measurements.md');
}
