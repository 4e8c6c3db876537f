import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {loadLlama, sparseCrossEntropy} from '../../src/llama';
import {applyLora, type Lora} from '../../src/lora';
import {describeFastBackends, thorough} from '../support/backends';
import {readJson, readTensors, toTensor, type FixtureTensor} from '../support/fixtures';
import {readBatches, type LlamaCase} from '../support/llama_run';
import {createPlainModel} from '../support/plain_model';
import {
  optimizerOf,
  StepLosses,
  weightComparison,
  type TrainingCase,
} from '../support/training_run';

/*
 * Whole training runs of LoRA through compile and fit: of a plain model against a float64 loop, and of two LLaMA-style models
 * against a float64 loop that agrees with transformers, peft and torch's AdamW. Losses, and A and B.
 */

type LoraCase = TrainingCase & {lora: {r: number; alpha: number; targets: string[]}};

describeFastBackends('training runs of LoRA', function (this: Mocha.Suite, backend) {
  if (backend === 'webgpu') return;
  if (backend === 'webgl') this.timeout(180_000);

  // on cpu and wasm each run once, as the code is the same
  if (backend !== 'wasm' || thorough)
    it('a plain model', async () => {
      const fixture = readJson<LoraCase & {lr: number[]}>('mlp_train/lora');
      const recorded = readTensors('mlp_train/lora');
      const start = readTensors('mlp_train/model_mean_tanh');
      const before = tf.memory().numTensors;
      const [batches, batch, sequenceLength] = start.get('ids')!.shape as [number, number, number];
      const model = createPlainModel({
        ...{blocks: 6, pool: 'mean', activation: 'tanh', weights: start, sequenceLength},
      });
      const {r: rank, alpha} = fixture.lora;
      const lora = applyLora(model, {rank, alpha});
      setWeights(lora, start, (module, part) => `lora.${module}.kernel.${part}`);
      const losses = new StepLosses(1);
      const [learningRate] = fixture.lr as [number];
      const optimizer = optimizerOf(fixture, {
        ...{learningRate, galore: /none/, kernels: 'auto'},
        basis: () => expect.fail('nothing is projected'),
      });
      model.compile({
        optimizer,
        loss: (labels, logits) => tf.losses.softmaxCrossEntropy(labels, logits),
      });
      const count = fixture.steps * batch;
      const ids = tf.tidy(() =>
        tf.slice(
          tf.reshape(toTensor(start.get('ids')!), [batches * batch, sequenceLength]),
          0,
          count,
        ),
      );
      const classes = start.get('init.head.bias')!.shape[0]!;
      const labels = tf.tidy(() => {
        const flat = tf.reshape(toTensor(start.get('labels')!), [batches * batch]);
        return tf.cast(tf.oneHot(tf.slice(flat, 0, count), classes), 'float32');
      });
      await model.fit(ids, labels, {
        ...{batchSize: batch, shuffle: false, verbose: 0, callbacks: [losses]},
      });
      losses.expectThoseOf(fixture, 'recorded');
      await compareWeights(lora, fixture, recorded, false, (module, part) => {
        return `weights.${fixture.steps}.${module}.kernel.${part}`;
      });
      tf.dispose([ids, labels]);
      optimizer.dispose();
      model.dispose();
      lora.dispose();
      expect(tf.memory().numTensors).to.equal(before);
    });

  for (const name of ['smollm2', 'llama2'] as const) {
    if (backend === 'cpu' && !thorough) continue;
    it(name, async () => {
      const fixture = readJson<LoraCase & LlamaCase>(`llama_train/${name}_lora`);
      const recorded = readTensors(`llama_train/${name}_lora`);
      const before = tf.memory().numTensors;
      const folder = fileURLToPath(new URL(`../fixtures/llama/${name}`, import.meta.url));
      const {model} = await loadLlama(folder);
      const {r: rank, alpha, targets} = fixture.lora;
      const lora = applyLora(model, {rank, alpha, targets});
      setWeights(lora, recorded, (module, part) => `init.${module}.weight.${part}`, true);
      const losses = new StepLosses(1);
      const optimizer = optimizerOf(fixture, {
        ...{learningRate: fixture.lr, galore: /none/, kernels: 'auto'},
        basis: () => expect.fail('nothing is projected'),
      });
      model.compile({optimizer, loss: sparseCrossEntropy});
      const [ids, labels] = readBatches(fixture);
      await model.fit(ids, labels, {
        ...{batchSize: fixture.batch, shuffle: false, verbose: 0, callbacks: [losses]},
      });
      losses.expectThoseOf(fixture, 'recorded');
      await compareWeights(lora, fixture, recorded, true, (module, part) => {
        return `final.${module}.weight.${part}`;
      });
      tf.dispose([ids, labels]);
      optimizer.dispose();
      model.dispose();
      lora.dispose();
      expect(tf.memory().numTensors).to.equal(before);
    });
  }
});

type NameOf = (module: string, part: 'A' | 'B') => string;

/** Gives A and B the values of a fixture. */
function setWeights(
  lora: Lora,
  tensors: ReadonlyMap<string, FixtureTensor>,
  nameOf: NameOf,
  transposed = false,
): void {
  for (const [module, {a, b}] of lora.weights) {
    for (const [part, weight] of [
      ['A', a],
      ['B', b],
    ] as const) {
      tf.tidy(() => {
        const stored = toTensor(tensors.get(nameOf(module, part))!);
        weight.assign(transposed ? tf.transpose(stored) : stored);
      });
    }
  }
}

async function compareWeights(
  lora: Lora,
  fixture: TrainingCase,
  recorded: ReadonlyMap<string, FixtureTensor>,
  transposed: boolean,
  nameOf: NameOf,
): Promise<void> {
  const comparison = weightComparison(fixture, 'recorded');
  for (const [module, {a, b}] of lora.weights) {
    for (const [part, weight] of [
      ['A', a],
      ['B', b],
    ] as const) {
      const stored = tf.tidy(() => (transposed ? tf.transpose(weight) : tf.clone(weight)));
      const name = nameOf(module, part);
      comparison.add(name, await stored.data(), recorded.get(name)!.values);
      stored.dispose();
    }
  }
  comparison.finish();
}
