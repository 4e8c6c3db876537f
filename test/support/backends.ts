import * as tf from '@tensorflow/tfjs-core';
// Registers the gradients of all ops, as a user's own import of tfjs-layers does.
import '@tensorflow/tfjs-layers';
import {backendNames, howToGet, loadBackend} from '../../scripts/load_backend';
import type {BackendName} from '../../scripts/load_backend';

export type {BackendName};

/**
 * The backends on which backend-dependent tests run: those named in `OWLORE_BACKENDS` (comma-separated;
 * a missing one is an error), without it cpu, wasm and whichever others this machine has.
 */
export const backends: readonly BackendName[] = await findBackends(process.env.OWLORE_BACKENDS);

/** For the start of a run: which backends run, and how to get the others. */
export const backendSummary: string = [
  `Backends: ${backends.join(', ')}`,
  ...backendNames
    .filter((name) => !backends.includes(name))
    .map((name) => `  not run: ${name} (needs ${howToGet[name]})`),
].join('\n');

/** One `describe` per backend; the backend is set before its tests run. */
export function describeBackends(title: string, body: (backend: BackendName) => void): void {
  for (const backend of backends) {
    describe(`${title} [${backend}]`, () => {
      before(async () => {
        await tf.setBackend(backend);
        await tf.ready();
      });
      body(backend);
    });
  }
}

async function findBackends(wanted: string | undefined): Promise<BackendName[]> {
  const names = wanted === undefined ? backendNames : wanted.split(',').map(checkName);
  const found: BackendName[] = [];
  for (const name of names) {
    if (await loadBackend(name)) found.push(name);
    else if (wanted !== undefined) {
      throw new Error(
        `OWLORE_BACKENDS names ${name}, which this machine does not have: it needs ${howToGet[name]}`,
      );
    }
  }
  return found;
}

function checkName(name: string): BackendName {
  const known = backendNames.find((backend) => backend === name.trim());
  if (known) return known;
  throw new Error(
    `OWLORE_BACKENDS must be a comma-separated list of ${backendNames.join(', ')}; got '${name}'`,
  );
}
