import {existsSync} from 'node:fs';
import {spawnSync} from 'node:child_process';
import {createRequire} from 'node:module';
import {fileURLToPath, pathToFileURL} from 'node:url';
import * as tf from '@tensorflow/tfjs-core';

/**
 * Makes a tfjs backend usable in Node, for the tests, the demo and the benchmarks.
 * What a user of the library does in one `import` takes more here for the two backends that need
 * something outside npm: a native library (`tensorflow`) and a graphics driver (`webgpu`).
 */
export type BackendName = 'cpu' | 'wasm' | 'tensorflow' | 'webgpu';

export const backendNames: readonly BackendName[] = ['cpu', 'wasm', 'tensorflow', 'webgpu'];

/** What it takes to get a backend that was not found. */
export const howToGet: Readonly<Record<BackendName, string>> = {
  cpu: 'npm install',
  wasm: 'npm install',
  tensorflow: '`npm install --no-save @tensorflow/tfjs-node`, or `bash scripts/build-tfjs-node.sh`',
  webgpu:
    "a Vulkan, Metal or D3D12 driver, or on Debian `apt-get install chromium libvulkan1` for chromium's SwiftShader",
};

/** Registers a backend with tfjs; false where this machine has no such backend. Does not select it. */
export async function loadBackend(name: BackendName): Promise<boolean> {
  switch (name) {
    case 'cpu':
      await import('@tensorflow/tfjs-backend-cpu');
      await greetOnce();
      return true;
    case 'wasm':
      await import('@tensorflow/tfjs-backend-wasm');
      return true;
    case 'tensorflow':
      return loadTensorflow();
    case 'webgpu':
      return loadWebgpu();
  }
}

/**
 * The cpu backend greets whoever stores a first tensor in it under Node, by `console.warn`. This takes
 * the greeting, and nothing else, out of the way of those who look at warnings.
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

const ownBuild = fileURLToPath(
  new URL('../.tfjs-node/node_modules/@tensorflow/tfjs-node/dist/index.js', import.meta.url),
);

/** tfjs-node as npm installed it, or as `scripts/build-tfjs-node.sh` built it. */
async function loadTensorflow(): Promise<boolean> {
  // TensorFlow's start-up notes about the processor are no news to a test run.
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '1';
  // Node 23 took this function away, tfjs-node 4.22 still calls it.
  const util = createRequire(import.meta.url)('node:util') as {
    isNullOrUndefined?: (x: unknown) => boolean;
  };
  util.isNullOrUndefined ??= (x) => x === null || x === undefined;

  for (const specifier of ['@tensorflow/tfjs-node', '@tensorflow/tfjs-node-gpu']) {
    if (isInstalled(specifier)) {
      await import(specifier);
      return true;
    }
  }
  if (!existsSync(ownBuild)) return false;
  await import(pathToFileURL(ownBuild).href);
  return true;
}

function isInstalled(specifier: string): boolean {
  try {
    createRequire(import.meta.url).resolve(specifier);
    return true;
  } catch {
    return false;
  }
}

const swiftShader = '/usr/lib/chromium/vk_swiftshader_icd.json';

/** WebGPU by Dawn (npm `webgpu`), on the machine's driver or else on chromium's software one. */
async function loadWebgpu(): Promise<boolean> {
  if (!hasAdapter({})) {
    const software = {VK_ICD_FILENAMES: swiftShader};
    if (!existsSync(swiftShader) || !hasAdapter(software)) return false;
    Object.assign(process.env, software);
  }
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
function hasAdapter(environment: Record<string, string>): boolean {
  const probe = `
    const {create} = await import(${JSON.stringify(import.meta.resolve('webgpu'))});
    process.exit((await create([]).requestAdapter()) ? 0 : 1);`;
  const {status} = spawnSync(process.execPath, ['--input-type=module', '--eval', probe], {
    env: {...process.env, ...environment},
    stdio: 'ignore',
    timeout: 30_000,
  });
  return status === 0;
}
