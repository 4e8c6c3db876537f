/** Finding the tfjs backends of Node. Knows nothing of this library's kernels. */
import {spawnSync} from 'node:child_process';
import {createRequire} from 'node:module';
import {pathToFileURL} from 'node:url';
import * as tf from '@tensorflow/tfjs-core';

export type BackendName = 'cpu' | 'wasm' | 'tensorflow' | 'webgpu';

export const backendNames: readonly BackendName[] = ['cpu', 'wasm', 'tensorflow', 'webgpu'];

/** Registers a backend with tfjs as npm installed it, and does not select it; false if it is not there. */
export async function registerBackend(name: BackendName): Promise<boolean> {
  if (tf.findBackendFactory(name)) return true;
  switch (name) {
    case 'cpu':
      if (!isInstalled('@tensorflow/tfjs-backend-cpu')) return false;
      await import('@tensorflow/tfjs-backend-cpu');
      await greetOnce();
      return true;
    case 'wasm':
      if (!isInstalled('@tensorflow/tfjs-backend-wasm')) return false;
      await import('@tensorflow/tfjs-backend-wasm');
      return true;
    case 'tensorflow':
      return registerTensorflow();
    case 'webgpu':
      return registerWebgpu();
  }
}

/** Prepares what tfjs-node needs of Node, and asks TensorFlow not to tell of the processor. */
export function prepareTensorflow(): void {
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '1';
  // Node 23 took this function away, tfjs-node 4.22 still calls it.
  const util = createRequire(import.meta.url)('node:util') as {
    isNullOrUndefined?: (x: unknown) => boolean;
  };
  util.isNullOrUndefined ??= (x) => x === null || x === undefined;
}

async function registerTensorflow(): Promise<boolean> {
  for (const specifier of ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node']) {
    if (!isInstalled(specifier)) continue;
    prepareTensorflow();
    await import(specifier);
    return true;
  }
  return false;
}

/** WebGPU by Dawn (npm `webgpu`), on the machine's driver. */
async function registerWebgpu(): Promise<boolean> {
  const areInstalled = ['webgpu', '@tensorflow/tfjs-backend-webgpu'].every(isInstalled);
  if (!areInstalled || !hasAdapter()) return false;
  const {create, globals} = await import('webgpu');
  Object.assign(globalThis, globals);
  // Node 20 has no `navigator`; where there is one it takes a new property but not an assignment.
  if (typeof navigator === 'undefined') {
    Object.defineProperty(globalThis, 'navigator', {value: {}, configurable: true});
  }
  Object.defineProperty(navigator, 'gpu', {value: create([]), configurable: true});
  await import('@tensorflow/tfjs-backend-webgpu');
  return true;
}

/** Asks in a process of its own: a driver that prints or crashes does so there. */
function hasAdapter(): boolean {
  const library = pathToFileURL(createRequire(import.meta.url).resolve('webgpu')).href;
  const probe = `
    const {create} = await import(${JSON.stringify(library)});
    process.exit((await create([]).requestAdapter()) ? 0 : 1);`;
  const {status} = spawnSync(process.execPath, ['--input-type=module', '--eval', probe], {
    stdio: 'ignore',
    timeout: 30_000,
  });
  return status === 0;
}

function isInstalled(specifier: string): boolean {
  try {
    createRequire(import.meta.url).resolve(specifier);
    return true;
  } catch {
    return false;
  }
}

/**
 * Under Node the cpu backend prints a greeting by `console.warn` when its first tensor is stored. This
 * triggers and suppresses the greeting, and no other warning.
 */
async function greetOnce(): Promise<void> {
  const warn = console.warn;
  const before = tf.getBackend();
  console.warn = (...args: unknown[]) => {
    if (!String(args[0]).includes('Hi, looks like you are running TensorFlow.js in Node.js'))
      warn(...args);
  };
  try {
    await tf.setBackend('cpu');
    tf.dispose(tf.scalar(0));
    if (before) await tf.setBackend(before);
  } finally {
    console.warn = warn;
  }
}
