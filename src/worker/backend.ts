/** Selects the backend of a worker in a page, with this library's kernels for it. */
import * as tf from '@tensorflow/tfjs-core';
import {installKernelsForBackend} from '../kernels/install_for_backend';
import {canShareMemory, setThreads, threadCount} from '../kernels/wasm/thread_count';
import {FineTuningError} from './errors';
import type {SentOptions, WorkerBackend} from './options';

/** A backend that is ready. */
export interface SelectedBackend {
  backend: WorkerBackend;
  threads: number;
}

/** What is asked of a backend. */
export type BackendOptions = Pick<SentOptions, 'backend' | 'threads' | 'wasmPaths'>;

/** Where a bundler has put tfjs's files; each is written out, as bundlers need it. */
function bundledWasm(): Record<string, string> {
  return {
    'tfjs-backend-wasm.wasm': new URL(
      '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm',
      import.meta.url,
    ).href,
    'tfjs-backend-wasm-simd.wasm': new URL(
      '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm',
      import.meta.url,
    ).href,
    'tfjs-backend-wasm-threaded-simd.wasm': new URL(
      '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-threaded-simd.wasm',
      import.meta.url,
    ).href,
  };
}

/**
 * Selects a backend.
 *
 * @throws FineTuningError if the browser does not have it.
 */
export async function selectBackend({
  backend = 'auto',
  threads,
  wasmPaths,
}: BackendOptions): Promise<SelectedBackend> {
  if (threads !== undefined) setThreads(threads);
  const name = backend === 'auto' ? ((await hasWebgpu()) ? 'webgpu' : 'wasm') : backend;
  if (name === 'webgpu' && !(await hasWebgpu()))
    throw new FineTuningError(
      'no-webgpu',
      "this browser has no WebGPU, or no GPU for it; take backend: 'wasm', or switch WebGPU on in the browser's settings",
    );
  try {
    await load(name, wasmPaths);
    if (!(await tf.setBackend(name))) throw new Error('tfjs could not start it');
    await tf.ready();
  } catch (cause) {
    throw new FineTuningError(
      'failed',
      `the backend '${name}' does not work: ${(cause as Error).message}`,
      {cause},
    );
  }
  await installKernelsForBackend();
  const isShared = name === 'wasm' && canShareMemory();
  return {backend: name, threads: isShared ? threadCount() : 1};
}

async function load(name: WorkerBackend, wasmPaths: BackendOptions['wasmPaths']): Promise<void> {
  switch (name) {
    case 'wasm': {
      const {setWasmPaths} = await import('@tensorflow/tfjs-backend-wasm');
      setWasmPaths(wasmPaths ?? bundledWasm());
      return;
    }
    case 'webgpu':
      await import('@tensorflow/tfjs-backend-webgpu');
      return;
    case 'webgl':
      await import('@tensorflow/tfjs-backend-webgl');
      return;
    case 'cpu':
      await import('@tensorflow/tfjs-backend-cpu');
  }
}

/** Whether there is a GPU for WebGPU. */
async function hasWebgpu(): Promise<boolean> {
  const {gpu} = navigator as {gpu?: GPU};
  if (!gpu) return false;
  return gpu.requestAdapter().then(
    (adapter) => adapter !== null,
    () => false,
  );
}
