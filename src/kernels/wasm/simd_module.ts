import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import {sayOnce} from '../../common/say_once';
import {replaceMethods} from '../../tfjs/methods';
import {outOfMemory} from './full_memory';
import {replaceHeapArrays} from './heap_arrays';
import {withThreads} from './parallel';
import {shareMemory, sharingRefusal, stopSharing} from './shared_memory';
import {canShareMemory, threadCount} from './thread_count';
import {ThreadPool} from './thread_pool';
import {relaxed, simd, withNamedArguments, type Binary, type SimdModule} from './binaries';

export type {SimdModule};

/** The parts of the stock backend's `wasm` that are used here. */
interface EmscriptenModule {
  /** Returns 0 if there is no memory left. */
  _malloc(bytes: number): number;
  /** The exports of the binary with SIMD, its memory among them. */
  asm?: {memory?: unknown};
  /** The memory of the binary with SIMD and threads, which imports it. */
  wasmMemory?: unknown;
}

/** The bit in a memory's flags in a binary that marks it as shared between threads. */
const SHARED = 2;

/** The compiled modules, by whether they take a shared memory. */
const modules = new Map<boolean, WebAssembly.Module>();

/** The instances, by backend. */
const instances = new WeakMap<object, SimdModule>();

/** Whether kernels may use it: of the process, as they are registered. */
let isOn = true;

/** The module over the memory of `backend`; undefined before {@link attach}, and where it cannot run. */
export function simdModule(backend: object): SimdModule | undefined {
  return isOn ? instances.get(backend) : undefined;
}

/** Turns the module on or off, for all backends: while it is off, {@link simdModule} returns none. */
export function switchModule(on: boolean): void {
  isOn = on;
}

/**
 * Gives `backend` the module over its memory, with relaxed SIMD if the engine knows it; does nothing if the backend has the
 * module, or the engine has no SIMD. It is done at once if possible, because in a loop that awaits only tfjs's own promises no
 * other promise resolves; but some browsers do not let their main thread wait for WebAssembly, or only for small modules.
 *
 * @returns nothing if it is done, a promise if the engine refuses to do it at once.
 * @throws if the memory is full; the promise rejects then.
 */
export function attach(backend: object): Promise<void> | undefined {
  stopSharing();
  const memory = isOn && !instances.has(backend) ? memoryOf(backend) : undefined;
  const shared = memory !== undefined && isShared(memory);
  const bytes = memory && binaryFor(shared);
  if (!bytes) return undefined;
  const imports = {env: {memory}};
  try {
    const module = modules.get(shared) ?? new WebAssembly.Module(bytes);
    modules.set(shared, module);
    addInstance(backend, module, new WebAssembly.Instance(module, imports));
    return undefined;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return WebAssembly.instantiate(bytes, imports).then(({module, instance}) => {
      modules.set(shared, module);
      if (!instances.has(backend)) addInstance(backend, module, instance);
    });
  }
}

/** By its name: the ArrayBuffer that Jest gives to tests is not the one of their WebAssembly. */
function isShared({buffer}: WebAssembly.Memory): boolean {
  return Object.prototype.toString.call(buffer) === '[object SharedArrayBuffer]';
}

/** The binary for the best SIMD that the engine has, if any. */
function binaryFor(isShared: boolean): Uint8Array<ArrayBuffer> | undefined {
  return [relaxed, simd]
    .map((binary) => bytesOf(binary, isShared))
    .find((bytes) => WebAssembly.validate(bytes));
}

function bytesOf({base64, memoryFlags}: Binary, isShared: boolean): Uint8Array<ArrayBuffer> {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  if (isShared) bytes[memoryFlags]! |= SHARED;
  return bytes;
}

/** The memory of the backend's binary; undefined where it cannot be reached. */
function memoryOf(backend: object): WebAssembly.Memory | undefined {
  const {asm, wasmMemory} = insideOf(backend);
  return [asm?.memory, wasmMemory].find((x) => x instanceof WebAssembly.Memory);
}

function insideOf(backend: object): EmscriptenModule {
  return (backend as {wasm: EmscriptenModule}).wasm;
}

/** Why kernels that might have several threads have one. */
function oneThread(): string {
  const why = canShareMemory()
    ? (sharingRefusal() ?? 'the backend was made before tfjs-owlore was imported')
    : 'this page is not cross-origin isolated: it needs the headers Cross-Origin-Opener-Policy and Cross-Origin-Embedder-Policy';
  return `tfjs-owlore: the wasm kernels compute on one thread: ${why}`;
}

function addInstance(
  backend: object,
  compiled: WebAssembly.Module,
  {exports}: WebAssembly.Instance,
): void {
  const module = withNamedArguments(exports);
  const size = module.SCRATCH_BYTES;
  const memory = memoryOf(backend)!;
  const workers = isShared(memory) ? threadCount() - 1 : 0;
  if (workers === 0 && threadCount() > 1) sayOnce('info', oneThread());
  const scratches = Array.from({length: workers + 1}, () => {
    const scratch = insideOf(backend)._malloc(size) >>> 0;
    if (scratch === 0) throw outOfMemory(size);
    return scratch;
  });
  module.initialize({scratch: scratches[0]!});
  if (workers === 0) {
    if (isShared(memory)) replaceHeapArrays(backend as BackendWasm, module);
    instances.set(backend, module);
    return;
  }
  const pool = new ThreadPool(exports, {module: compiled, memory}, scratches.slice(1));
  const threaded = withThreads(module, pool);
  replaceHeapArrays(backend as BackendWasm, threaded);
  instances.set(backend, threaded);
  const disposable = backend as {dispose(): void};
  const {dispose} = disposable;
  replaceMethods(disposable, {
    dispose() {
      pool.end();
      dispose.call(disposable);
      shareMemory(); // for the next one
    },
  });
}
