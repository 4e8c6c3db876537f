/**
 * What `chromium_contender.ts` runs in its page, or in a worker of it: a training that does a step when the page's server asks for one. What
 * is sent to it are the replies of `harness/protocol.ts`; what it answers is the next request, or null at the end.
 */
import * as tf from '@tensorflow/tfjs-core';
import {setWasmPaths} from '@tensorflow/tfjs-backend-wasm';
import '@tensorflow/tfjs-layers';
import {setThreads} from '../../src';
import {installKernels} from '../../src/kernels/wasm';
import {parseSafetensors} from '../../src/files/safetensors';
import type {Reply, Request} from '../harness/protocol';
import type {Steps} from '../harness/serve_steps';
import {heapBytes} from '../harness/wasm_backend';
import {trainedSets, Training} from '../harness/workload';
import type {ChromiumOptions} from './chromium_contender';
import {JaxTraining} from './jax_reference';

const {threads, shape, jax} = JSON.parse(
  new URL(location.href).searchParams.get('options')!,
) as ChromiumOptions;

async function library(): Promise<Steps> {
  setThreads(threads);
  setWasmPaths('/');
  await tf.setBackend('wasm');
  await installKernels();
  const training = new Training({shape, variant: 'none', trained: trainedSets.full});
  return {
    about: {parameters: training.model.countParams(), versions: {tfjs: tf.version_core}},
    step: () => training.step(),
    memory: () => ({wasm: heapBytes()}),
  };
}

/** Its pool has as many workers as the browser tells processors. */
async function jaxSteps(options: NonNullable<ChromiumOptions['jax']>): Promise<Steps> {
  const start = await (await fetch('/start.safetensors')).arrayBuffer();
  const training = new JaxTraining(parseSafetensors(new Uint8Array(start)).tensors, options);
  return {
    about: {
      parameters: training.parameters,
      versions: {workers: String(navigator.hardwareConcurrency)},
    },
    step: () => training.step(),
    memory: () => ({}),
  };
}

async function serve(): Promise<void> {
  const steps = await (jax ? jaxSteps(jax) : library());
  let request = await send('/progress', {kind: 'ready', ...steps.about});
  while (request !== null) {
    if (request === 'step') {
      const start = performance.now();
      const loss = await steps.step();
      request = await send('/progress', {kind: 'step', loss, milliseconds: performance.now() - start}); // prettier-ignore
    } else request = await send('/progress', {kind: 'memory', ...steps.memory()});
  }
  await send('/report', null);
}

async function send(path: string, message: Reply | string | null): Promise<Request | null> {
  const response = await fetch(path, {method: 'POST', body: JSON.stringify(message)});
  return (await response.json()) as Request | null;
}

serve().catch((error: unknown) =>
  send('/error', error instanceof Error ? (error.stack ?? error.message) : String(error)),
);
