import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as cpu from '../../src/kernels/cpu';
import * as tensorflow from '../../src/kernels/tensorflow';
import * as wasm from '../../src/kernels/wasm';
import * as webgpu from '../../src/kernels/webgpu';
import {OwLoreAdam} from '../../src/kernels/kernel_names';
import type {BackendName} from './backends';

/** The optimizer's option `kernels`. */
export type KernelSet = 'auto' | 'none';

/** Backends with kernels for the optimizer's update. */
const modules: Partial<Record<BackendName, {uninstallKernels(): void}>> = {
  cpu,
  tensorflow,
  wasm,
  webgpu,
};

/**
 * Tests, each of which makes steps of an optimizer with the option `kernels` as given, with this library's kernels for the
 * update and without. Every test must run such a kernel, or none of this library's at all; which are registered is for the
 * optimizer to say. On wasm, where a training needs more kernels than tfjs has, the composed ones take the place of none.
 */
export function describeKernelSets(backend: BackendName, body: (kernels: KernelSet) => void): void {
  const module = modules[backend];
  for (const kernels of module ? (['auto', 'none'] as const) : (['auto'] as const)) {
    describe(kernels === 'auto' ? 'with kernels' : 'without kernels', () => {
      let watch: KernelWatch;
      beforeEach(async () => {
        module?.uninstallKernels();
        // The module is compiled when this returns, and is no matter of the first steps.
        if (backend === 'wasm') await wasm.installKernels({simd: kernels});
        watch = new KernelWatch();
      });
      afterEach(async () => {
        watch.stop();
        module?.uninstallKernels();
        if (backend === 'wasm') await wasm.installKernels();
        if (!module) return;
        const called = [...watch.called];
        if (kernels === 'none') expect(called, 'kernels that were run').to.deep.equal([]);
        else expect(called).to.include(OwLoreAdam);
      });
      body(kernels);
    });
  }
}

/** Which of this library's own kernels are run. */
class KernelWatch {
  readonly called = new Set<string>();

  constructor() {
    const {called} = this;
    const engine = tf.engine();
    const runKernel = engine.runKernel.bind(engine);
    engine.runKernel = (name, ...args) => {
      if (name.startsWith('OwLore')) called.add(name);
      return runKernel<never>(name, ...args);
    };
  }

  /** Leaves the engine with its class's method again. */
  stop(): void {
    Reflect.deleteProperty(tf.engine(), 'runKernel');
  }
}
