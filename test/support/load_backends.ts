import {backendNames, howToGet, loadBackend} from '../../tools/node_backend';
import {registerBackend} from '../../src/cli/register_backend';
import type {BackendName} from '../../tools/node_backend';
import {chooseProducts} from './webgpu_products';

/**
 * Runs before mocha does (`import` in .mocharc.json), as loading a backend is asynchronous while mocha
 * collects tests synchronously. Loads the backends named in `OWLORE_BACKENDS` (comma-separated; a missing
 * one ends the run), without it every backend that this machine has, but webgpu only on a GPU: on a processor its tests take longer
 * than all others. Leaves the names of the loaded ones in `OWLORE_BACKENDS`, and in `OWLORE_CHOOSES` whether it has chosen them.
 */
// two files are run beside each other; tests of threads start programs with others
process.env.OWLORE_THREADS ??= '1';
const wanted = process.env.OWLORE_BACKENDS;
// the processes that run the files inherit it
process.env.OWLORE_CHOOSES ??= String(wanted === undefined);
const names = wanted === undefined ? backendNames : wanted.split(',').map(checkName);
const found: BackendName[] = [];
for (const name of names) {
  const load = wanted === undefined && name === 'webgpu' ? registerBackend : loadBackend;
  if (await load(name)) found.push(name);
  else if (wanted !== undefined) {
    fail(`OWLORE_BACKENDS names ${name}, which was not found: it needs ${howToGet[name]}`);
  }
}
if (found.includes('webgpu')) await chooseProducts();
process.env.OWLORE_BACKENDS = found.join(',');

process.stdout.write(`Backends: ${found.join(', ')}\n`);
for (const name of backendNames) {
  if (wanted !== undefined || found.includes(name)) continue;
  const named = name === 'webgpu' ? '; that one with OWLORE_BACKENDS=cpu,webgpu alone' : '';
  process.stdout.write(`  not run: ${name} (needs ${howToGet[name]}${named})\n`);
}

// Mocha gives a process that has run test files one second to end, too little to write what they have covered.
if (process.env.NODE_V8_COVERAGE) {
  process.on('exit', () => process.on('SIGTERM', () => undefined));
}

function checkName(name: string): BackendName {
  const known = backendNames.find((backend) => backend === name.trim());
  return (
    known ??
    fail(
      `OWLORE_BACKENDS must be a comma-separated list of ${backendNames.join(', ')}; got '${name}'`,
    )
  );
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
