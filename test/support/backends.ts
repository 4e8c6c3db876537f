import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';

export type BackendName = 'cpu' | 'wasm' | 'tensorflow' | 'webgpu';

/** The backends on which backend-dependent tests run. */
export const backends: readonly BackendName[] = ['cpu', 'wasm'];

/** One `describe` per available backend; the backend is set before its tests run. */
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
