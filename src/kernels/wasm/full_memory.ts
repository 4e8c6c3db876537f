import * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import {replaceMethods} from '../../tfjs/methods';

/** The most bytes that a 32-bit WebAssembly memory can have. */
const MAX_BYTES = 2 ** 32 - 1;

/**
 * Bytes that stay free. tfjs's binary takes memory too, while it runs a kernel: where it gets none for an operator of XNNPACK, it keeps
 * the broken one and computes wrong numbers with it from then on. Those that it keeps for good take a few hundred bytes.
 */
const SPARE_BYTES = 2 ** 16;

/** The number by which the binary's C library says that an allocation failed. */
const ENOMEM = 48;

/** What Emscripten has made of the backend's binary. */
interface EmscriptenModule {
  HEAPU8: Uint8Array;
  /** Returns 0 if there is no memory left. */
  _malloc(bytes: number): number;
  _free(address: number): void;
  /** Where the number of the last error is. */
  ___errno_location(): number;
  stackSave(): number;
  stackRestore(pointer: number): void;
}

/** The parts of the backend that get memory. */
type Allocator = Pick<BackendWasm, 'move' | 'disposeData' | 'dataIdMap'> & {wasm: EmscriptenModule};

/** Data that the kernel at work has made; null between two kernels. */
let made: object[] | null = null;

/** What takes {@link throwWhenFull} back, by backend. */
const guards = new WeakMap<object, () => void>();

/** Makes a backend throw where its memory is full. Without that it goes on at address 0, over the values of other tensors. */
export function throwWhenFull(backend: object): void {
  if (guards.has(backend)) return;
  const allocator = backend as Allocator;
  const {wasm, move} = allocator;
  // Its first call makes Emscripten put the binary's function in its place.
  wasm._free(wasm._malloc(1));
  const malloc = wasm._malloc;
  const free = wasm._free;
  /** Whether what {@link SPARE_BYTES} is for is there. */
  const hasSpare = (): boolean => {
    const spare = malloc.call(wasm, SPARE_BYTES);
    if (spare !== 0) free.call(wasm, spare);
    return spare !== 0;
  };
  const putBack = [
    replaceMethods(wasm, {
      _malloc(bytes) {
        // The allocator counts in 32 bits, so that it would see a smaller number.
        const address = bytes > MAX_BYTES ? 0 : malloc.call(wasm, bytes);
        if (bytes === 0 || (address !== 0 && hasSpare())) return address;
        if (address !== 0) wasm._free(address);
        setError(wasm, 0); // which is told
        throw outOfMemory(bytes);
      },
    }),
    replaceMethods(allocator, {
      move(dataId, ...rest) {
        const pointer = wasm.stackSave();
        try {
          move.call(allocator, dataId, ...rest);
        } catch (error) {
          wasm.stackRestore(pointer);
          allocator.disposeData(dataId, true);
          throw toldAsFull(wasm, error);
        }
        made?.push(dataId);
      },
    }),
  ];
  guards.set(backend, () => putBack.forEach((each) => each()));
}

/** Takes {@link throwWhenFull} back. */
export function goOnWhenFull(backend: object): void {
  guards.get(backend)?.();
  guards.delete(backend);
}

/** Makes every kernel that is registered for wasm {@link freeingOnError}; returns what takes that back. */
export function freeOnErrors(): () => void {
  const putBack = tf
    .getKernelsForBackend('wasm')
    .map((config) => replaceMethods(config, {kernelFunc: freeingOnError(config.kernelFunc)}));
  return () => putBack.forEach((each) => each());
}

/**
 * A kernel that, if it throws, frees what it has made until then; and that throws if the binary found no memory for it. tfjs's own ends
 * with "Aborted()" then, or with a line in the log and wrong numbers.
 */
export function freeingOnError(kernelFunc: tf.KernelFunc): tf.KernelFunc {
  return (args) => {
    // A kernel that another one has called leaves that to the outer one.
    if (made) return kernelFunc(args);
    made = [];
    // The registry has no backend's own type; these kernels are only ever registered for wasm.
    const backend = (args as unknown as {backend: BackendWasm}).backend;
    const {wasm} = backend as unknown as Allocator;
    const pointer = wasm.stackSave();
    setError(wasm, 0);
    try {
      const outputs = kernelFunc(args);
      if (hasFailed(wasm)) throw outOfMemory();
      return outputs;
    } catch (error) {
      wasm.stackRestore(pointer);
      for (const dataId of made) backend.disposeData(dataId, true);
      if (hasFailed(wasm))
        Object.values(args.inputs)
          .flat()
          .forEach((x) => forgetOperators(backend, x));
      throw toldAsFull(wasm, error);
    } finally {
      made = null;
    }
  };
}

/** Makes the binary forget the operators that it keeps for a tensor, as when the tensor ends: some may be broken. */
function forgetOperators({wasm, dataIdMap}: BackendWasm, x: tf.TensorInfo | undefined): void {
  if (!x || !dataIdMap.has(x.dataId)) return;
  const {id, shape, memoryOffset} = dataIdMap.get(x.dataId);
  if (memoryOffset === null) return; // texts
  wasm.tfjs.disposeData(id);
  wasm.tfjs.registerTensor(id, tf.util.sizeFromShape(shape), memoryOffset);
}

/** Whether an allocation of the binary's own has failed since the last {@link setError}. */
function hasFailed(wasm: EmscriptenModule): boolean {
  return wasm.HEAPU8[wasm.___errno_location()] === ENOMEM;
}

function setError(wasm: EmscriptenModule, number: number): void {
  wasm.HEAPU8[wasm.___errno_location()] = number;
}

/** What to throw for an error: one of a full memory, if the binary ended because of that. */
function toldAsFull(wasm: EmscriptenModule, error: unknown): unknown {
  const isOfBinary = (error as Error).name === 'RuntimeError' && hasFailed(wasm);
  return isOfBinary ? outOfMemory() : error;
}

/** @param bytes That were asked for; undefined if the binary did not tell. */
export function outOfMemory(bytes?: number): Error & {code: 'no-memory'} {
  const error = new Error(
    `The memory of the wasm backend is full: ${bytes === undefined ? 'too few' : `no ${bytes}`} bytes left of the 4 GB that it can have. ` +
      "Take smaller batches or shorter texts, in a training also accumulate, gradientCheckpointing: 'auto' and state: 'reset', or a backend without this limit",
  );
  return Object.assign(error, {code: 'no-memory' as const});
}
