import {fileURLToPath} from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {getLlamaWeights, loadLlama, sparseCrossEntropy} from '../../src/llama';
import {describeFastBackends, thorough} from '../support/backends';
import {readJson, readTensors} from '../support/fixtures';
import {describeKernelSets, type KernelSet} from '../support/kernel_sets';
import {readBatches, type LlamaCase} from '../support/llama_run';
import {
  optimizerOf,
  RunBases,
  samplingOf,
  StepLosses,
  weightComparison,
  type Bases,
} from '../support/training_run';

/*
 * Whole training runs of two checkpoints through compile and fit, against a float64 loop: full
 * fine-tuning, LISA, GaLore and OwLore, with clipping, accumulation and all the ways to carry moments.
 */

describeFastBackends('training runs of LLaMA-style models', function (this: Mocha.Suite, backend) {
  // Software WebGPU takes a second a step, and webgl in software half of one.
  if (backend === 'webgpu') return;
  if (backend === 'webgl') this.timeout(180_000);
  const {cases} = readJson<{cases: Array<{name: string; method: LlamaCase['method']}>}>(
    'llama_train/index',
  );
  describeKernelSets(backend, (kernels) => {
    for (const {name, method} of cases) {
      if (method === 'lora') continue;
      const {rank, model} = readJson<LlamaCase>(`llama_train/${name}`);
      // On cpu a run takes several times as long, and comes from the same code as on wasm: one of the two models has to do.
      if (backend === 'cpu' && model !== 'smollm2') continue;
      if (!thorough && kernels === 'none' && model !== 'smollm2') continue;
      it(rank === null ? name : `${name}, recorded bases`, () => runCase(name, {kernels}));
      const isRepeated = !thorough && kernels === 'none';
      if (rank !== null && backend !== 'cpu' && thorough) {
        it(`${name}, own exact bases`, () => runCase(name, {kernels, bases: 'own exact'}));
      }
      if (method === 'full' && backend !== 'cpu' && !isRepeated) {
        it(`${name}, head in the loss`, () => runCase(name, {kernels, headInLoss: true}));
      }
    }
  });
});

interface Way {
  kernels: KernelSet;
  bases?: Bases;
  headInLoss?: boolean;
}

async function runCase(
  name: string,
  {kernels, bases = 'recorded', headInLoss = false}: Way,
): Promise<void> {
  const fixture = readJson<LlamaCase>(`llama_train/${name}`);
  const recorded = readTensors(`llama_train/${name}`);
  const tensorsBefore = tf.memory().numTensors;
  const folder = fileURLToPath(new URL(`../fixtures/llama/${fixture.model}`, import.meta.url));
  const {model} = await loadLlama(folder, {headInLoss, kernels});
  const names = new Map(
    model.weights.map(({name, originalName}) => [name, originalName.replace('/', '.')]),
  );
  const losses = new StepLosses(fixture.accumulate);

  const runBases = new RunBases(bases, recorded, names, losses);
  const optimizer = optimizerOf(fixture, {
    learningRate: fixture.lr,
    galore: /_proj\.weight/,
    basis: runBases.basis,
    kernels,
  });
  model.compile({optimizer, loss: sparseCrossEntropy});

  const blocks = [0, 1, 2].map((i) => `model.layers.${i}`);
  const callbacks = [...samplingOf(fixture, blocks), losses];
  const [ids, labels] = readBatches(fixture);
  await model.fit(ids, labels, {batchSize: fixture.batch, shuffle: false, verbose: 0, callbacks});

  losses.expectThoseOf(fixture, bases);
  const comparison = weightComparison(fixture, bases);
  const weights = await getLlamaWeights(model);
  for (const [weight, {values}] of weights) {
    comparison.add(weight, values, recorded.get(`final.${weight}`)!.values);
  }
  comparison.finish();
  const finalNames = [...recorded.keys()].filter((key) => key.startsWith('final.'));
  expect(weights.size).to.equal(finalNames.length);
  runBases.expectRefreshes(fixture);

  tf.dispose([ids, labels]);
  optimizer.dispose();
  model.dispose();
  expect(tf.memory().numTensors).to.equal(tensorsBefore);
}
