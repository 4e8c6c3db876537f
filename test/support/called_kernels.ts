import * as tf from '@tensorflow/tfjs-core';

/** The kernels that `body` runs through the engine, one name for each call. */
export async function calledKernels(body: () => void | Promise<void>): Promise<string[]> {
  const called: string[] = [];
  const engine = tf.engine();
  const runKernel = engine.runKernel.bind(engine);
  engine.runKernel = (name, ...args) => {
    called.push(name);
    return runKernel<never>(name, ...args);
  };
  try {
    await body();
  } finally {
    Reflect.deleteProperty(engine, 'runKernel');
  }
  return called;
}
