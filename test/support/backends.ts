import * as tf from '@tensorflow/tfjs-core';
// Registers the gradients of all ops, as a user's own import of tfjs-layers does.
import '@tensorflow/tfjs-layers';
import type {BackendName as NodeBackendName} from '../../tools/load_backend';
import {installKernels} from '../../src/kernels/wasm';

/** A backend that tests run on; webgl is there in a browser alone (`npm run test:webgl`). */
export type BackendName = NodeBackendName | 'webgl';

/** The backends on which backend-dependent tests run, as `load_backends.ts` found them. */
export const backends = (process.env.OWLORE_BACKENDS ?? '').split(',') as readonly BackendName[];

/** Whether all tests run: if `OWLORE_BACKENDS` was given. Without it those are left out that repeat others at length, or take seconds. */
export const thorough = process.env.OWLORE_CHOOSES !== 'true';

/** A test that takes seconds: only if `thorough`. */
export function itAtLength(title: string, body: (this: Mocha.Context) => unknown): void {
  (thorough ? it : it.skip)(title, body as Mocha.AsyncFunc);
}

/** For suites that take several times as long on cpu as elsewhere, where the same code runs: cpu is among them if `thorough`. */
const fastBackends =
  backends.length > 1 && !thorough ? backends.filter((name) => name !== 'cpu') : backends;

/** The backend of tests outside `describeBackends`. */
export const defaultBackend = backends[0]!;

/** The one on which a training that is about something else takes least time. */
export const fastBackend = backends.includes('wasm') ? 'wasm' : defaultBackend;

type Body = (this: Mocha.Suite, backend: BackendName) => void;

/** One `describe` per backend; the backend is set before its tests run. */
export function describeBackends(title: string, body: Body): void {
  describeOn(backends, title, body);
}

/** As `describeBackends`, for suites that take long on cpu, see `fastBackends`. */
export function describeFastBackends(title: string, body: Body): void {
  describeOn(fastBackends, title, body);
}

function describeOn(names: readonly BackendName[], title: string, body: Body): void {
  for (const backend of names) {
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
