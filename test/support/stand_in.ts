import type {MathBackendCPU} from '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import {uninstallKernels} from '../../src/kernels/cpu';
import {kernelModules} from '../../src/kernels/kernel_modules';
import {backends, defaultBackend, describeBackends, type BackendName} from './backends';

type Body = (this: Mocha.Suite, backend: BackendName) => void;

/**
 * A `describe` on a backend called `name` that computes as cpu does, with the kernels of tfjs alone: for what follows from a backend's
 * name, and has to be right where that backend is not there to be tested on. Where it is there, this is nothing.
 */
export function describeStandIn(name: BackendName, title: string, body: Body): void {
  if (backends.includes(name) || !backends.includes('cpu')) return;
  describe(`${title} [${name}, computed by cpu]`, function () {
    const kernels = kernelModules.get(name);
    const own = kernels?.loaded;
    // What a package has registered that brings all backends: `@tensorflow/tfjs` does.
    let kernelsBefore: tf.KernelConfig[];
    let backendBefore: {factory: () => tf.KernelBackend; priority: number} | undefined;
    const unregister = (): void => {
      if (tf.findBackendFactory(name)) tf.removeBackend(name);
      for (const {kernelName} of tf.getKernelsForBackend(name))
        tf.unregisterKernel(kernelName, name);
    };
    before(async () => {
      uninstallKernels();
      backendBefore = tf.engine().registryFactory[name] as typeof backendBefore;
      kernelsBefore = tf.getKernelsForBackend(name);
      unregister();
      tf.copyRegisteredKernels('cpu', name);
      tf.registerBackend(name, () => createStandIn(name));
      kernels?.provide({installKernels: () => Promise.resolve()});
      await tf.setBackend(name);
    });
    after(async () => {
      await tf.setBackend(defaultBackend);
      unregister();
      kernelsBefore.forEach(tf.registerKernel);
      if (backendBefore) tf.registerBackend(name, backendBefore.factory, backendBefore.priority);
      if (own) kernels.provide(own);
    });
    body.call(this, name);
  });
}

/** As `describeBackends`; without webgpu also on a stand-in for it, whose numbers cannot be read within a step. */
export function describeAlsoLate(title: string, body: Body): void {
  describeBackends(title, body);
  describeStandIn('webgpu', title, body);
}

/** A backend of the cpu's class. One for webgpu is read from as that is: later. */
function createStandIn(name: BackendName): tf.KernelBackend {
  const backend = tf.findBackendFactory('cpu')() as MathBackendCPU;
  // Else it recommends tfjs's own backend for Node with its first tensor.
  Object.assign(backend, {firstUse: false});
  if (name !== 'webgpu') return backend;
  const {readSync, bufferSync} = backend;
  const computing = {readSync: readSync.bind(backend)};
  return Object.assign(backend, {
    read: async (dataId: object) => {
      const values = computing.readSync(dataId);
      await Promise.resolve();
      return values;
    },
    readSync: () => {
      throw new Error('webgpu was read from within a step');
    },
    // with which kernels read their inputs
    bufferSync: bufferSync.bind(computing as MathBackendCPU),
  });
}
