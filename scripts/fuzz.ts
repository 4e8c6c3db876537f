/**
 * Runs the tests with random wrong arguments for a long time: `npm run fuzz -- [runs] [seed]`. Each kernel and each function of
 * the library gets `runs` random calls on every backend of this machine, or on those in `OWLORE_BACKENDS`. The same seed gives
 * the same calls.
 */
import {spawnSync} from 'node:child_process';

const [runs = '2000', seed = String(Date.now() % 2 ** 31)] = process.argv.slice(2);
if (![runs, seed].every((text) => /^\d+$/.test(text))) {
  process.stderr.write('usage: npm run fuzz -- [runs] [seed], both integers\n');
  process.exit(1);
}
process.stdout.write(`${runs} runs of each kernel and entry, seed ${seed}\n`);
const {status} = spawnSync(
  'npx',
  ['mocha', '--timeout', '0', '-g', 'wrong arguments|wrong gradients|wrong labels|restored state'],
  {stdio: 'inherit', env: {...process.env, OWLORE_FUZZ_RUNS: runs, OWLORE_FUZZ_SEED: seed}},
);
process.exit(status ?? 1);
