import * as tf from '@tensorflow/tfjs-core';
import {sayOnce} from '../common/say_once';
import {kernelModules} from './kernel_modules';
import {warnOfFailure} from './failed_install';

/** Of the option `kernels`: whether this library's kernels are registered. */
export const kernelChoices = ['auto', 'none'] as const;

/**
 * Registers the kernels for the current backend, once that is there, if there are any for it; kernels already registered stay. They
 * are in place when this returns, unless they must first be loaded or the engine refuses to compile a module at once: then when the
 * promise resolves. It never rejects: a failure is a warning, once.
 */
export async function installKernelsForBackend(): Promise<void> {
  const name = tf.getBackend();
  const kernels = kernelModules.get(name);
  // not tf.backend(), which throws while a backend is being selected
  const backend = tf.engine().registry[name];
  if (!kernels || !backend) return;
  try {
    await (kernels.loaded ?? (await kernels.load())).installKernels();
  } catch (error) {
    warnOfFailure(name, error);
  }
}

/** The same for a step that is about to run: logs, once for each backend, if its kernels are not there yet. */
export function installKernelsForStep(): void {
  const name = tf.getBackend();
  void installKernelsForBackend();
  if (!kernelModules.get(name)?.isLoading) return;
  sayOnce(
    'warn',
    `tfjs-owlore: this step is without kernels for '${name}', which are still loading; ` +
      '`await optimizer.ready()` before the first step',
  );
}
