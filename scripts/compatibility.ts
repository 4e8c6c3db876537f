/**
 * Runs the programs of test/programs on the given backends, records the results in test/programs/record.json, and writes the
 * table of docs/limits.md from that record. Without a backend it only writes the table.
 *
 *   npx tsx scripts/compatibility.ts cpu wasm tensorflow webgpu webgl
 */
import {spawnSync} from 'node:child_process';
import {readFileSync, writeFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {format, resolveConfig} from 'prettier';
import {compatibilityTable, readRecord} from '../test/programs/record';

const page = fileURLToPath(new URL('../docs/limits.md', import.meta.url));
const marker = '<!-- programs -->';
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

const [before, , after] = readFileSync(page, 'utf8').split(marker) as [string, string, string];
const text = [before, `\n\n${compatibilityTable(readRecord())}\n\n`, after].join(marker);
const style = await resolveConfig(page);
writeFileSync(page, await format(text, {...style, parser: 'markdown'}));
