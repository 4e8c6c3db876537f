import * as tf from '@tensorflow/tfjs-core';
import {installKernels} from '../src/kernels/wasm/index';
import {howToGet, loadBackend, type BackendName} from '../scripts/load_backend';

/** Selects a tfjs backend; where this machine has none of that name, ends the process with a line that says so. */
export async function selectBackend(name: BackendName): Promise<void> {
  if (!(await loadBackend(name))) {
    console.error(`error: no ${name} backend on this machine; it needs ${howToGet[name]}`);
    process.exit(2);
  }
  await tf.setBackend(name);
  await tf.ready();
  if (name === 'wasm') await installKernels();
}
