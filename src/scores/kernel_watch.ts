import * as tf from '@tensorflow/tfjs-core';

type Kernel = Parameters<ReturnType<typeof tf.engine>['runKernel']>;

/** A kernel that has just run: its name, its inputs by name, its attributes, and what it made. */
export interface KernelRun {
  name: string;
  inputs: tf.NamedTensorMap;
  attributes: tf.NamedAttrMap;
  outputs: tf.Tensor[];
}

/**
 * Runs `body` and reports every kernel that its ops run, on any backend. Kernels that run inside of
 * another kernel or of `onKernel` are not reported. All is as before afterwards, also if `body` throws.
 */
export function watchKernels<T>(body: () => T, onKernel: (run: KernelRun) => void): T {
  const engine = tf.engine();
  const before = Object.getOwnPropertyDescriptor(engine, 'runKernel');
  const runKernel = engine.runKernel.bind(engine);
  let isInside = false;

  const watched = (...[name, inputs, attributes]: Kernel) => {
    if (isInside) return runKernel(name, inputs, attributes);
    isInside = true;
    try {
      const result = runKernel(name, inputs, attributes);
      const outputs = Array.isArray(result) ? result : [result];
      onKernel({name, inputs, attributes: attributes ?? {}, outputs});
      return result;
    } finally {
      isInside = false;
    }
  };
  engine.runKernel = watched as typeof engine.runKernel;
  try {
    return body();
  } finally {
    if (before) Object.defineProperty(engine, 'runKernel', before);
    else delete (engine as Partial<typeof engine>).runKernel;
  }
}
