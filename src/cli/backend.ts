/** Selects the tfjs backend that a command computes on. */
import * as tf from '@tensorflow/tfjs-core';
import {installKernelsForBackend} from '../kernels/install_for_backend';
import '../preload/llama';
import {registerBackend, type BackendName} from './register_backend';
import {messageOf} from './usage_error';

/** `auto` takes the first of these that is installed, unless a command knows better. */
export const BY_SPEED: readonly BackendName[] = ['tensorflow', 'wasm', 'cpu'];

const HOW_TO_GET: Readonly<Record<BackendName, string>> = {
  cpu: 'npm install @tensorflow/tfjs-backend-cpu',
  wasm: 'npm install @tensorflow/tfjs-backend-wasm',
  tensorflow: 'npm install @tensorflow/tfjs-node',
  webgpu: 'npm install @tensorflow/tfjs-backend-webgpu webgpu, and a Vulkan, Metal or D3D12 driver',
};

/** Backends that did not work, of which has been told. */
const told = new Set<BackendName>();

/**
 * Selects a backend, with this library's kernels for it.
 *
 * @param name `'auto'`: the first of `order` that is installed and works.
 * @param note Called where `'auto'` passes over a backend that is installed and does not work, once for each.
 * @param register Registers a backend; default: as npm installed it.
 * @param order Default: tensorflow, wasm, cpu.
 * @returns its name.
 * @throws if this machine has no such backend, or if it does not work.
 */
export async function selectBackend(
  name: BackendName | 'auto',
  note: (line: string) => void,
  register: (name: BackendName) => Promise<boolean> = registerBackend,
  order: readonly BackendName[] = BY_SPEED,
): Promise<BackendName> {
  if (name !== 'auto') {
    const isThere = await makeCurrent(name, register).catch((cause: unknown) => {
      throw new Error(
        `the backend '${name}' is installed but does not work: ${reasonOf(cause)}; to install it anew: ${HOW_TO_GET[name]}`,
        {cause},
      );
    });
    if (isThere) return name;
    throw new Error(
      `there is no backend '${name}' on this machine; to get it: ${HOW_TO_GET[name]}`,
    );
  }
  for (const candidate of order) {
    try {
      if (await makeCurrent(candidate, register)) return candidate;
    } catch (error) {
      if (!told.has(candidate))
        note(
          `warning: the backend '${candidate}' is passed over, it does not work: ${reasonOf(error)}`,
        );
      told.add(candidate);
    }
  }
  throw new Error(`no backend is installed that works; '${HOW_TO_GET.wasm}' gets a fast one`);
}

/** Makes a backend tfjs's; false if this machine has no such backend. */
async function makeCurrent(
  name: BackendName,
  register: (name: BackendName) => Promise<boolean>,
): Promise<boolean> {
  const before = tf.getBackend();
  if (!(await register(name))) return false;
  try {
    if (!(await tf.setBackend(name))) throw new Error('tfjs could not start it');
    await tf.ready();
    await installKernelsForBackend();
    return true;
  } catch (error) {
    if (before) await tf.setBackend(before);
    throw error;
  }
}

/** What an error says, without the modules that Node lists below it. */
function reasonOf(error: unknown): string {
  return messageOf(error instanceof Error ? error.message.split('\n')[0] : error);
}
