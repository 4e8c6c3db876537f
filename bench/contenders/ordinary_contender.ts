/**
 * Steps of one of the small models of `tools/ordinary_models.ts` on wasm, by this library at its defaults, as a process that `npm run
 * bench -- performance` gives its steps to; a step of it is many of the model.
 *
 *   tsx bench/contenders/ordinary_contender.ts '{"title": "regression on 24 features: six layers of 24", "steps": 100}'
 */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers';
import {owlore} from '../../src';
import {createRandom} from '../../src/common/random';
import {startMemoryMeter} from '../../src/memory/meter';
import {howToGet, loadBackend} from '../../tools/load_backend';
import {seeded, smallModels} from '../../tools/ordinary_models';
import {serveSteps} from '../harness/serve_steps';
import {heapBytes} from '../harness/wasm_backend';

export interface OrdinaryOptions {
  /** The model's. */
  title: string;
  /** How many of the model's are one. */
  steps: number;
}

const {title, steps} = JSON.parse(process.argv[2]!) as OrdinaryOptions;

await serveSteps(async () => {
  if (!(await loadBackend('wasm'))) return {needs: howToGet.wasm};
  await tf.setBackend('wasm');
  const {build, loss, createData, batchSize, learningRate} = smallModels.find(
    (model) => model.title === title,
  )!;
  const optimizer = owlore(learningRate);
  await optimizer.ready();
  const model = seeded(1, build);
  model.compile({optimizer, loss});
  const batch = createData(batchSize, createRandom(1));
  const meter = startMemoryMeter();
  return {
    about: {parameters: model.countParams(), versions: {tfjs: tf.version_core}},
    async step() {
      let last = NaN;
      for (let i = 0; i < steps; i++) last = (await model.trainOnBatch(...batch)) as number;
      return last;
    },
    memory: () => ({tensors: meter.peak(), wasm: heapBytes()}),
  };
});
