import * as tf from '@tensorflow/tfjs-core';
import * as cpu from '../../src/kernels/cpu';
import * as tensorflow from '../../src/kernels/tensorflow';
import * as wasm from '../../src/kernels/wasm';
import * as webgpu from '../../src/kernels/webgpu';
import type {BackendName} from '../support/backends';

/** Puts kernels in the place of a backend's own, or beside them, and back. */
export interface Installer {
  installKernels(): Promise<void>;
  uninstallKernels(): void;
}

const composedWasm: Installer = {
  installKernels: () => wasm.installKernels({simd: 'none'}),
  uninstallKernels: wasm.uninstallKernels,
};

/** The kernels of each backend. */
export const kernelSets: ReadonlyArray<{
  title: string;
  backend: BackendName;
  kernels: Installer;
}> = [
  {title: 'cpu', backend: 'cpu', kernels: cpu},
  {title: 'wasm', backend: 'wasm', kernels: wasm},
  {title: 'wasm, composed', backend: 'wasm', kernels: composedWasm},
  {title: 'tensorflow', backend: 'tensorflow', kernels: tensorflow},
  {title: 'webgpu', backend: 'webgpu', kernels: webgpu},
];

/** Installs kernels, and tells which: names of those in the place of the backend's own, or beside them. */
export async function registeredKernels(backend: string, kernels: Installer): Promise<string[]> {
  // On wasm the functions of all others are guarded, where they are registered.
  const configs = (): Map<string, tf.KernelConfig> =>
    new Map(tf.getKernelsForBackend(backend).map((x) => [x.kernelName, x]));
  kernels.uninstallKernels();
  const stock = configs();
  await kernels.installKernels();
  return [...configs()].flatMap(([name, each]) => (stock.get(name) === each ? [] : [name]));
}
