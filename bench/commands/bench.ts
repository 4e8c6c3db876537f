/**
 * The figures of `docs/performance.md` and, with the groups smollm2 and smollm2-optimizer, of `docs/real-model.md`: training steps against stock tfjs, PyTorch and jax-js, and what the optimizer costs:
 *
 *   npm run bench
 *   npm run bench -- --only wasm,tensorflow       # some of the groups; the others keep the results they have
 *   npm run bench -- --python venv/bin/python     # a Python with torch and transformers; default: $PYTHON, or python3
 *   npm run bench -- --model smollm2              # the folder of SmolLM2-135M-Instruct, for the groups smollm2 and smollm2-optimizer
 *   npm run bench -- --rounds 5                   # more or fewer turns than a group takes by itself
 *
 * Writes `bench/results/performance.json` and the tables of the two pages. A time is as good as the machine was quiet, a ratio
 * better: both sides of it take turns. Exits with 1 if a group could not be measured.
 */
import {spawnSync} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import type {MeasureGroup} from '../groups/group';
import {provenance, writeRecord} from '../results/store';
import {printTables} from '../tables/document';
import {realModelGroups, writeDocument} from '../tables/documents';
import {performanceTables} from '../tables/performance_tables';

const groups: Readonly<Record<string, () => Promise<{measure: MeasureGroup}>>> = {
  wasm: () => import('../groups/wasm_steps'),
  loop: () => import('../groups/loop_steps'),
  tensorflow: () => import('../groups/tensorflow_steps'),
  model: () => import('../groups/model_passes'),
  optimizer: () => import('../groups/optimizer_share'),
  webgpu: () => import('../groups/webgpu_kernels'),
  smollm2: () => import('../groups/smollm2_steps'),
  'smollm2-optimizer': () => import('../groups/smollm2_optimizer'),
};

const {values} = parseArgs({
  options: {
    only: {type: 'string', default: Object.keys(groups).join()},
    python: {type: 'string', default: process.env['PYTHON'] ?? 'python3'},
    rounds: {type: 'string'},
    model: {type: 'string'},
  },
});
const names = values.only.split(',');
const unknown = names.filter((name) => !(name in groups));
if (unknown.length > 0) {
  console.error(`no group ${unknown.join(', ')}; there are ${Object.keys(groups).join(', ')}`);
  process.exit(2);
}

for (const name of values.model === undefined ? realModelGroups : []) {
  if (!names.includes(name)) continue;
  console.log(`${name}: not measured; it needs --model, the folder of SmolLM2-135M-Instruct`);
  names.splice(names.indexOf(name), 1);
}
if (names.length === 1) await measureGroup(names[0]!);
else for (const name of names) measureApart(name);

async function measureGroup(name: string): Promise<void> {
  const {python, rounds, model} = values;
  const before = provenance();
  console.log(`${name}: measuring; load of the machine before: ${before.load!.toFixed(1)}`);
  const {measure} = await groups[name]!();
  const record = {
    ...before,
    ...(await measure({python, model, ...(rounds && {rounds: Number(rounds)})})),
  };
  printTables(performanceTables({[name]: record}));
  await writeRecord('performance', name, record, Object.keys(groups));
  await writeDocument(realModelGroups.includes(name) ? 'real-model.md' : 'performance.md');
}

/** In a process of its own, with all the memory that it left behind, and a crash of which ends only itself. */
function measureApart(name: string): void {
  const script = fileURLToPath(import.meta.url);
  const args = ['--only', name, '--python', values.python];
  for (const option of ['rounds', 'model'] as const) {
    if (values[option] !== undefined) args.push(`--${option}`, values[option]);
  }
  const {status} = spawnSync(process.execPath, [...process.execArgv, script, ...args], {
    stdio: 'inherit',
  });
  if (status !== 0) {
    console.error(`${name}: failed`);
    process.exitCode = 1;
  }
}
