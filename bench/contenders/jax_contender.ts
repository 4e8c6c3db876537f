/**
 * The reference workload in jax-js, on its wasm device, as a process that `npm run bench -- performance` gives its steps to:
 *
 *   tsx bench/contenders/jax_contender.ts <start point> '{"shape": {…}, "learningRate": 1e-4, "epsilon": 1e-7}' 2
 *
 * On one thread, or with as many workers as are named: jax-js has a pool of Web Workers, one for each processor that `navigator` tells,
 * over a shared memory. Node has none, so it gets them here, of `node:worker_threads`.
 */
import {resolveObjectURL} from 'node:buffer';
import {readFileSync} from 'node:fs';
import {Worker} from 'node:worker_threads';
import {parseSafetensors} from '../../src/files/safetensors';
import type {JaxOptions} from './jax_reference';
import {serveSteps} from '../harness/serve_steps';

const [file, options, workers = '0'] = process.argv.slice(2) as [string, string, string?];
const memories = watchMemories();
if (workers !== '0') giveWorkers(Number(workers));

await serveSteps(async () => {
  // Not before the memories are watched.
  const {JaxTraining} = await import('./jax_reference');
  const {tensors} = parseSafetensors(readFileSync(file));
  const training = new JaxTraining(tensors, JSON.parse(options) as JaxOptions);
  return {
    about: {parameters: training.parameters, versions: {'@jax-js/jax': version()}},
    step: () => training.step(),
    memory: () => ({wasm: memories.reduce((sum, {buffer}) => sum + buffer.byteLength, 0)}),
  };
});

/** The wasm memories that are made from now on. They never shrink. */
function watchMemories(): WebAssembly.Memory[] {
  const memories: WebAssembly.Memory[] = [];
  WebAssembly.Memory = class extends WebAssembly.Memory {
    constructor(descriptor: WebAssembly.MemoryDescriptor) {
      super(descriptor);
      memories.push(this);
    }
  };
  return memories;
}

/** Makes Node look like a browser with some processors, as far as jax-js asks. */
function giveWorkers(count: number): void {
  Object.defineProperty(globalThis, 'navigator', {value: {hardwareConcurrency: count}});
  Object.assign(globalThis, {Worker: WebWorker});
}

/** What jax-js takes of a browser's worker. */
class WebWorker {
  onmessage?: (event: {data: unknown}) => void;
  onerror?: (error: Error) => void;
  private readonly worker: Promise<Worker>;

  constructor(url: string) {
    this.worker = this.start(url);
  }

  postMessage(message: unknown): void {
    void this.worker.then((worker) => worker.postMessage(message));
  }

  private async start(url: string): Promise<Worker> {
    const script = await resolveObjectURL(url)!.text();
    const worker = new Worker(
      `const {parentPort} = require('node:worker_threads');
      globalThis.self = globalThis;
      globalThis.postMessage = (message) => parentPort.postMessage(message);
      parentPort.on('message', (data) => self.onmessage({data}));
      ${script}`,
      {eval: true},
    );
    worker.on('message', (data) => this.onmessage?.({data}));
    worker.on('error', (error) => this.onerror?.(error));
    worker.unref();
    return worker;
  }
}

function version(): string {
  const manifest = new URL('../package.json', import.meta.resolve('@jax-js/jax'));
  return (JSON.parse(readFileSync(manifest, 'utf8')) as {version: string}).version;
}
