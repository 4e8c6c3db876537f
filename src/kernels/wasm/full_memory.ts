import type * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import {replaceMethods} from '../../tfjs/methods';

/** The most bytes that a 32-bit WebAssembly memory can have. */
const MOST_BYTES = 2 ** 32 - 1;

/** The parts of the backend that get memory. */
interface Allocator {
  wasm: {
    /** Returns 0 if there is no memory left. */
    _malloc(bytes: number): number;
    _free(address: number): void;
  };
  /** Stores the values of a tensor, or makes room for them. */
  move: BackendWasm['move'];
}

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
  const putBack = [
    replaceMethods(wasm, {
      _malloc(bytes) {
        // The allocator counts in 32 bits, so that it would see a smaller number.
        const address = bytes > MOST_BYTES ? 0 : malloc.call(wasm, bytes);
        if (address === 0 && bytes > 0) throw outOfMemory(bytes);
        return address;
      },
    }),
    replaceMethods(allocator, {
      move(dataId, ...rest) {
        move.call(allocator, dataId, ...rest);
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

/** A kernel that, if it throws, frees what it has made until then. */
export function freeingOnError(kernelFunc: tf.KernelFunc): tf.KernelFunc {
  return (args) => {
    // A kernel that another one has called leaves that to the outer one.
    if (made) return kernelFunc(args);
    made = [];
    try {
      return kernelFunc(args);
    } catch (error) {
      // The registry has no backend's own type; these kernels are only ever registered for wasm.
      const {backend} = args as unknown as {backend: BackendWasm};
      for (const dataId of made) backend.disposeData(dataId, true);
      throw error;
    } finally {
      made = null;
    }
  };
}

export function outOfMemory(bytes: number): Error {
  return new Error(
    `The memory of the wasm backend is full: no ${bytes} bytes left of the 4 GB that it can have. Train with smaller batches ` +
      "(and accumulate), with the options checkpoint: 'auto' and state: 'reset', or on a backend without this limit",
  );
}
