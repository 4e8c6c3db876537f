/**
 * The reference workload in jax-js, on its wasm device, as a process that `npm run bench -- performance` gives its steps to:
 *
 *   tsx bench/contenders/jax_contender.ts <start point> '{"shape": {…}, "learningRate": 1e-4, "epsilon": 1e-7}'
 *
 * One thread: jax-js has a pool of Web Workers, and Node has none.
 */
import {readFileSync} from 'node:fs';
import {parseSafetensors} from '../../src/files/safetensors';
import type {JaxOptions} from './jax_reference';
import {serveSteps} from '../harness/serve_steps';

const [file, options] = process.argv.slice(2) as [string, string];
const memories = watchMemories();

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

function version(): string {
  const manifest = new URL('../package.json', import.meta.resolve('@jax-js/jax'));
  return (JSON.parse(readFileSync(manifest, 'utf8')) as {version: string}).version;
}
