/** Selects the backend of a worker in a page, with this library's kernels for it. */
import * as tf from '@tensorflow/tfjs-core';
import {deviceLoss} from '../kernels/device_loss';
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

/** The files beside this program, or where a bundler has put them; each is written out, as bundlers need it. */
function ownWasm(): Record<string, string> {
  const [stock, simd] = [
    new URL('./tfjs-backend-wasm.wasm', import.meta.url),
    new URL('./tfjs-backend-wasm-simd.wasm', import.meta.url),
  ];
  return {
    'tfjs-backend-wasm.wasm': stock.href,
    'tfjs-backend-wasm-simd.wasm': simd.href,
    // which tfjs wants named, and does not load
    'tfjs-backend-wasm-threaded-simd.wasm': simd.href,
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
    const isWebgl = name === 'webgl';
    throw new FineTuningError(
      isWebgl ? 'no-webgl' : 'failed',
      `the backend '${name}' does not work: ${(cause as Error).message}${isWebgl ? "; take backend: 'wasm'" : ''}`,
      {cause},
    );
  }
  await installKernelsForBackend();
  deviceLoss(); // which from now on knows of one
  const isShared = name === 'wasm' && canShareMemory();
  return {backend: name, threads: isShared ? threadCount() : 1};
}

async function load(name: WorkerBackend, wasmPaths: BackendOptions['wasmPaths']): Promise<void> {
  switch (name) {
    case 'wasm': {
      const {setWasmPaths} = await import('@tensorflow/tfjs-backend-wasm');
      // the threads are this library's, over the binary with SIMD; those of tfjs's other binary need scripts from blobs, and round otherwise
      tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
      setWasmPaths(wasmPaths ?? ownWasm());
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
