/**
 * The reference workload on a tfjs backend, as a process that `npm run bench -- performance` gives its steps to.
 *
 *   tsx bench/contenders/tfjs_contender.ts '{"shape": {…}, "backend": "wasm", "variant": "none", "trained": "full", "project": false}'
 */
import * as tf from '@tensorflow/tfjs-core';
import {startMemoryMeter} from '../../src/memory/meter';
import {howToGet, loadBackend} from '../../tools/load_backend';
import {installKernels as installForTensorflow} from '../../src/kernels/tensorflow';
import {installKernels as installForWasm} from '../../src/kernels/wasm';
import {serveSteps} from '../harness/serve_steps';
import {heapBytes, supplyMissingKernel} from '../harness/wasm_backend';
import {
  adamOptions,
  owloreOptions,
  trainedSets,
  Training,
  type Shape,
  type TrainedSetName,
  type Variant,
} from '../harness/workload';

export interface TfjsOptions {
  shape: Shape;
  backend: 'wasm' | 'tensorflow';
  /** 'stock' is with tfjs's own kernels, the others with this library's. */
  variant: Variant;
  trained: TrainedSetName;
  /** Whether the blocks have OwLore's low-rank update. */
  project: boolean;
}

const {shape, backend, variant, trained, project} = JSON.parse(process.argv[2]!) as TfjsOptions;

await serveSteps(async () => {
  if (!(await loadBackend(backend))) return {needs: howToGet[backend]};
  await tf.setBackend(backend);
  if (variant !== 'stock') {
    await (backend === 'wasm' ? installForWasm() : installForTensorflow());
  } else if (backend === 'wasm') {
    supplyMissingKernel();
  }
  const meter = startMemoryMeter();
  const training = new Training({
    ...{shape, variant, trained: trainedSets[trained]},
    optimizer: project ? owloreOptions(shape) : adamOptions,
  });
  return {
    about: {parameters: training.model.countParams(), versions: {tfjs: tf.version_core}},
    step: () => training.step(),
    memory: () => ({tensors: meter.peak(), ...(backend === 'wasm' && {wasm: heapBytes()})}),
  };
});
