/** Selects the tfjs backend that a command computes on. */
import * as tf from '@tensorflow/tfjs-core';
import {installKernelsForBackend} from '../kernels/install_for_backend';
import '../preload';
import {registerBackend, type BackendName} from './register_backend';

/** `auto` takes the first of these that is installed. */
const BY_SPEED: readonly BackendName[] = ['tensorflow', 'wasm', 'cpu'];

const HOW_TO_GET: Readonly<Record<BackendName, string>> = {
  cpu: 'npm install @tensorflow/tfjs-backend-cpu',
  wasm: 'npm install @tensorflow/tfjs-backend-wasm',
  tensorflow: 'npm install @tensorflow/tfjs-node',
  webgpu: 'npm install @tensorflow/tfjs-backend-webgpu webgpu, and a Vulkan, Metal or D3D12 driver',
};

/**
 * Selects a backend, with this library's kernels for it.
 *
 * @param name `'auto'`: tensorflow if it is installed, else wasm, else cpu.
 * @param register Registers a backend; default: as npm installed it.
 * @returns its name.
 * @throws if this machine has no such backend.
 */
export async function selectBackend(
  name: BackendName | 'auto',
  register: (name: BackendName) => Promise<boolean> = registerBackend,
): Promise<BackendName> {
  for (const candidate of name === 'auto' ? BY_SPEED : [name]) {
    if (!(await register(candidate))) continue;
    await tf.setBackend(candidate);
    await tf.ready();
    await installKernelsForBackend();
    return candidate;
  }
  throw new Error(
    name === 'auto'
      ? `no backend is installed; '${HOW_TO_GET.wasm}' gets a fast one`
      : `there is no backend '${name}' on this machine; to get it: ${HOW_TO_GET[name]}`,
  );
}
