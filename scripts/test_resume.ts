/**
 * The test of exact resumes, for long: `npx tsx scripts/test_resume.ts [runs] [seed]`. Each backend that is here gets `runs` random trainings
 * (`OWLORE_BACKENDS` chooses), each stopped after a random batch; what fails under a seed fails again under it. Then trainings and
 * runs of `finetune` with each option that has a state of its own are killed and go on in other processes, and runs whose disk was full.
 */
import {spawnSync} from 'node:child_process';

const [runs = '500', seed = String(Date.now() % 2 ** 31)] = process.argv.slice(2);
if (![runs, seed].every((text) => /^\d+$/.test(text))) {
  process.stderr.write('usage: npx tsx scripts/test_resume.ts [runs] [seed], both integers\n');
  process.exit(1);
}
process.stdout.write(`${runs} runs on each backend, seed ${seed}\n`);
const {status} = spawnSync('npx', ['mocha', '--timeout', '0', '-g', 'exact resume'], {
  stdio: 'inherit',
  env: {...process.env, OWLORE_FUZZ_RUNS: runs, OWLORE_FUZZ_SEED: seed},
});
process.exit(status ?? 1);
