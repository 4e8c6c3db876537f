/** tfjs-core's registry of kernels, and the kernels that ops run; seen in 4.22. */
import * as tf from '@tensorflow/tfjs-core';
import {withMethods} from './methods';

/** What is registered for a backend under a name; undefined, which the type of `tf.getKernel` does not say, if nothing is. */
export function findKernel(kernelName: string, backendName: string): tf.KernelConfig | undefined {
  return tf.getKernel(kernelName, backendName);
}

/**
 * Puts `config`, if any, in the place of what is registered for a backend under a name. The registry would warn if one kernel
 * were registered over another, and if one that is not there were taken out.
 */
export function replaceKernel(
  backendName: string,
  kernelName: string,
  config: tf.KernelConfig | undefined,
): void {
  if (findKernel(kernelName, backendName)) tf.unregisterKernel(kernelName, backendName);
  if (config) tf.registerKernel(config);
}

/** A kernel that has just run: its name, its inputs by name, its attributes, and what it made. */
export interface KernelRun {
  name: string;
  inputs: tf.NamedTensorMap;
  attributes: tf.NamedAttrMap;
  outputs: tf.Tensor[];
}

/**
 * Runs `body` and reports every kernel that its ops run, on any backend: each op asks the engine's `runKernel`. Kernels that run
 * inside of another kernel or of `onKernel` are not reported. All is as before afterwards, also if `body` throws.
 */
export function watchKernels<T>(body: () => T, onKernel: (run: KernelRun) => void): T {
  const engine = tf.engine();
  const {runKernel} = engine;
  let isInside = false;
  const watched: typeof runKernel = (name, inputs, attributes) => {
    const run = (): tf.Tensor | tf.Tensor[] => runKernel.call(engine, name, inputs, attributes);
    if (isInside) return run() as never;
    isInside = true;
    try {
      const result = run();
      onKernel({name, inputs, attributes: attributes ?? {}, outputs: [result].flat()});
      return result as never;
    } finally {
      isInside = false;
    }
  };
  return withMethods(engine, {runKernel: watched}, body);
}

/** Runs `body` while a backend has these kernels and no others; it need not be there. Afterwards it has its own again. */
export function withKernels<T>(
  backendName: string,
  kernels: readonly tf.KernelConfig[],
  body: () => T,
): T {
  const own = tf.getKernelsForBackend(backendName);
  const replace = (by: readonly tf.KernelConfig[]): void => {
    for (const {kernelName} of tf.getKernelsForBackend(backendName))
      tf.unregisterKernel(kernelName, backendName);
    by.forEach(tf.registerKernel);
  };
  replace(kernels);
  try {
    return body();
  } finally {
    replace(own);
  }
}
