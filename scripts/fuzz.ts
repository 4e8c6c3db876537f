/**
 * Tests with random input, for long: `npm run fuzz -- [files|templates|folders|kernels|results] [runs] [seed]`.
 * - `files`: damaged files of every kind, `runs` of each (default 15000, together 180000).
 * - `templates`: chat templates that make long texts and lists again and again; `runs` (default 500), each up to its limits.
 * - `folders`: folders of runs with links, pipes and files of others, and runs that are killed there; `runs` of each (default 300).
 * - `kernels`: wrong arguments; `runs` calls of each kernel and entry (default 2000), on every backend that is here (`OWLORE_BACKENDS`).
 * - `results`: right arguments; what a kernel computes against what tfjs's ops compute, `runs` of each test (default 2000).
 *
 * What fails under a seed fails again under it.
 */
import {spawnSync} from 'node:child_process';

/** The names of tests, and how many cases each makes. */
const parts = {
  files: ['hostile files(?!.*that cost)', '15000'],
  templates: ['templates that cost', '500'],
  folders: ['the folder of a run that others have written to', '300'],
  kernels: ['wrong arguments|wrong gradients|wrong labels|restored state', '2000'],
  results: [
    'fused kernels on|(MatMul|Sum|GatherV2|Filter|convolution|MaxPoolGrad|extreme values|Magnitude\\S*|SquaredNorm) on',
    '2000',
  ],
} as const;

const [part = 'files', ...numbers] = process.argv.slice(2);
if (!Object.hasOwn(parts, part) || !numbers.every((text) => /^\d+$/.test(text))) {
  process.stderr.write(
    'usage: npm run fuzz -- [files|templates|folders|kernels|results] [runs] [seed], both integers\n',
  );
  process.exit(1);
}
const [pattern, usualRuns] = parts[part as keyof typeof parts];
const [runs = usualRuns, seed = String(Date.now() % 2 ** 31)] = numbers;
process.stdout.write(`${part}: ${runs} runs of each, seed ${seed}\n`);
const {status} = spawnSync('npx', ['mocha', '--timeout', '0', '-g', pattern], {
  stdio: 'inherit',
  env: {...process.env, OWLORE_FUZZ_RUNS: runs, OWLORE_FUZZ_SEED: seed},
});
process.exit(status ?? 1);
