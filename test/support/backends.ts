import * as tf from '@tensorflow/tfjs-core';
// Registers the gradients of all ops, as a user's own import of tfjs-layers does.
import '@tensorflow/tfjs-layers';
import type {BackendName as NodeBackendName} from '../../tools/load_backend';
import {installKernels} from '../../src/kernels/wasm';

/** A backend that tests run on; webgl is there in a browser alone (`npm run test:webgl`). */
export type BackendName = NodeBackendName | 'webgl';

/** The backends on which backend-dependent tests run, as `load_backends.ts` found them. */
export const backends = (process.env.OWLORE_BACKENDS ?? '').split(',') as readonly BackendName[];

/** The backend of tests outside `describeBackends`. */
export const defaultBackend = backends[0]!;

/** The one on which a training that is about something else takes least time. */
export const fastBackend = backends.includes('wasm') ? 'wasm' : defaultBackend;

/** One `describe` per backend; the backend is set before its tests run. */
export function describeBackends(
  title: string,
  body: (this: Mocha.Suite, backend: BackendName) => void,
): void {
  for (const backend of backends) {
    describe(`${title} [${backend}]`, function () {
      before(async () => {
        await tf.setBackend(backend);
        await tf.ready();
        // Stock wasm lacks kernels that training needs.
        if (backend === 'wasm') await installKernels();
      });
      after(() => tf.setBackend(defaultBackend));
      body.call(this, backend);
    });
  }
}
