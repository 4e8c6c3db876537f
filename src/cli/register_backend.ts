/** Finds the tfjs backends of Node, and registers them with tfjs; without this library's kernels. */
import {createRequire} from 'node:module';
import {pathToFileURL} from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import {prepareTfjsNode} from '../tfjs/tfjs_node';
import {endsWell, ownNode} from './start_program';

export const backendNames = ['cpu', 'wasm', 'tensorflow', 'webgpu'] as const;

export type BackendName = (typeof backendNames)[number];

/** Registers a backend as npm installed it, and does not select it; false if this machine has no such backend. */
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

async function registerTensorflow(): Promise<boolean> {
  for (const specifier of ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node']) {
    if (!isInstalled(specifier)) continue;
    prepareTfjsNode();
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

/** Asks in another process, because drivers may print or crash. */
function hasAdapter(): boolean {
  const library = pathToFileURL(createRequire(import.meta.url).resolve('webgpu')).href;
  const probe = `
    const {create} = await import(${JSON.stringify(library)});
    process.exit((await create([]).requestAdapter()) ? 0 : 1);`;
  return endsWell(ownNode, ['--input-type=module', '--eval', probe], 30_000);
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
