/**
 * The figures of `docs/performance.md`: training steps against stock tfjs, PyTorch and jax-js, and what the optimizer costs:
 *
 *   npm run bench
 *   npm run bench -- --only wasm,tensorflow       # some of the groups; the others keep the results they have
 *   npm run bench -- --python venv/bin/python     # a Python with torch and transformers; default: $PYTHON, or python3
 *   npm run bench -- --rounds 5                   # more or fewer turns than a group takes by itself
 *
 * Writes `bench/results.json` and the tables of `docs/performance.md`. A time is as good as the machine was quiet, a ratio
 * better: both sides of it take turns. Exits with 1 if a group could not be measured.
 */
import {spawnSync} from 'node:child_process';
import {loadavg} from 'node:os';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import type {MeasureGroup} from './figure';
import {performanceTables} from './performance_tables';
import {provenance} from './record';
import {markdownTable, printTable, writeTables} from './report';
import {readResults, withGroup, writeResults} from './results';

const groups: Readonly<Record<string, () => Promise<{measure: MeasureGroup}>>> = {
  wasm: () => import('./wasm_steps'),
  loop: () => import('./loop_steps'),
  tensorflow: () => import('./tensorflow_steps'),
  model: () => import('./model_passes'),
  optimizer: () => import('./optimizer_share'),
  webgpu: () => import('./webgpu_kernels'),
};

const {values} = parseArgs({
  options: {
    only: {type: 'string', default: Object.keys(groups).join()},
    python: {type: 'string', default: process.env['PYTHON'] ?? 'python3'},
    rounds: {type: 'string'},
  },
});
const names = values.only.split(',');
const unknown = names.filter((name) => !(name in groups));
if (unknown.length > 0) {
  console.error(`no group ${unknown.join(', ')}; there are ${Object.keys(groups).join(', ')}`);
  process.exit(2);
}

if (names.length === 1) await measureGroup(names[0]!);
else for (const name of names) measureApart(name);

async function measureGroup(name: string): Promise<void> {
  const {python, rounds} = values;
  const [load] = loadavg();
  console.log(`${name}: measuring; load of the machine before: ${load!.toFixed(1)}`);
  const {measure} = await groups[name]!();
  const result = await measure({python, ...(rounds && {rounds: Number(rounds)})});
  const date = new Date().toISOString().slice(0, 10);
  const record = {...provenance(), date, load: load!, ...result};
  for (const {caption, header, rows} of performanceTables({[name]: record})) {
    printTable(caption, markdownTable(header, rows));
  }
  const results = withGroup(readResults(), name, record, Object.keys(groups));
  await writeResults(results);
  const tables = performanceTables(results);
  await writeTables(
    'performance.md',
    new Map(tables.map(({name, header, rows}) => [name, markdownTable(header, rows)])),
  );
}

/** In a process of its own, with all the memory that it left behind, and a crash of which ends only itself. */
function measureApart(name: string): void {
  const {python, rounds} = values;
  const script = fileURLToPath(import.meta.url);
  const args = ['--only', name, '--python', python, ...(rounds ? ['--rounds', rounds] : [])];
  const {status} = spawnSync(process.execPath, [...process.execArgv, script, ...args], {
    stdio: 'inherit',
  });
  if (status !== 0) {
    console.error(`${name}: failed`);
    process.exitCode = 1;
  }
}
