/**
 * Runs the programs of test/programs on the given backends, records the results in test/programs/record.json, and shows a table of
 * them. Without a backend it only shows the table. docs/limits.md says in words what is in it.
 *
 *   npx tsx scripts/compatibility.ts cpu wasm tensorflow webgpu webgl
 */
import {spawnSync} from 'node:child_process';
import {compatibilityTable, readRecord} from '../test/programs/record';

const grep = '^programs \\[';

for (const backend of process.argv.slice(2)) {
  const command =
    backend === 'webgl' ? ['tsx', 'scripts/test_webgl.ts', grep] : ['mocha', '-g', grep];
  const {status} = spawnSync('npx', command, {
    stdio: 'inherit',
    env: {...process.env, OWLORE_BACKENDS: backend, OWLORE_RECORD: '1'},
  });
  if (status !== 0) process.exitCode = 1;
}

console.log(compatibilityTable(readRecord()));
