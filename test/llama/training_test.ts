import {fileURLToPath} from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {LayerSamplingCallback, OwLoreOptimizer, type BasisFunction} from '../../src';
import {getLlamaWeights, loadLlama, sparseCrossEntropy} from '../../src/llama';
import {exactBasis} from '../../src/optim/basis';
import {describeBackends} from '../support/backends';
import {Comparison, type Tolerance} from '../support/close';
import {readJson, readTensors, toTensor} from '../support/fixtures';
import {describeKernelSets, type KernelSet} from '../support/kernel_sets';

/*
 * Whole training runs of two checkpoints through compile and fit, against a float64 loop: full
 * fine-tuning, LISA, GaLore and OwLore, with clipping, accumulation and all the ways to carry moments.
 */

interface TrainingCase {
  model: 'llama2' | 'smollm2';
  method: 'full' | 'lisa' | 'galore' | 'owlore' | 'lora';
  steps: number;
  /** Sequences in a batch. */
  batch: number;
  lr: number;
  betas: [number, number];
  eps: number;
  weightDecay: number;
  clipNorm: number | null;
  accumulate: number;
  rank: number | null;
  gap: number | null;
  scale: number;
  moments: 'keep' | 'rotate' | 'reset' | null;
  period: number | null;
  blocksOn: number[][] | null;
  refreshes: Record<string, Array<{step: number}>> | null;
  losses: number[];
  tolerance: Record<'losses' | 'weights' | 'lossesOwnBasis' | 'weightsOwnBasis', Tolerance>;
}

describeBackends('training runs of LLaMA-style models', (backend) => {
  // Software WebGPU takes a second a step.
  if (backend === 'webgpu') return;
  const {cases} = readJson<{cases: Array<{name: string; method: TrainingCase['method']}>}>(
    'llama_train/index',
  );
  describeKernelSets(backend, (kernels) => {
    for (const {name, method} of cases) {
      if (method === 'lora') continue;
      const {rank} = readJson<TrainingCase>(`llama_train/${name}`);
      it(rank === null ? name : `${name}, recorded bases`, () => runCase(name, {kernels}));
      if (rank !== null) {
        it(`${name}, own exact bases`, () => runCase(name, {kernels, bases: 'own exact'}));
      }
      if (method === 'full') {
        it(`${name}, head in the loss`, () => runCase(name, {kernels, headInLoss: true}));
      }
    }
  });
});

interface Way {
  kernels: KernelSet;
  bases?: 'recorded' | 'own exact';
  headInLoss?: boolean;
}

async function runCase(
  name: string,
  {kernels, bases = 'recorded', headInLoss = false}: Way,
): Promise<void> {
  const fixture = readJson<TrainingCase>(`llama_train/${name}`);
  const recorded = readTensors(`llama_train/${name}`);
  const tensorsBefore = tf.memory().numTensors;
  const folder = fileURLToPath(new URL(`../fixtures/llama/${fixture.model}`, import.meta.url));
  const {model} = await loadLlama(folder, {headInLoss});
  const names = new Map(
    model.weights.map(({name, originalName}) => [name, originalName.replace('/', '.')]),
  );
  const losses = new StepLosses(fixture.accumulate);

  const refreshes: Record<string, Array<{step: number}>> = {};
  const basis: BasisFunction = (gradient, rank, previous, variable) => {
    const weight = names.get(variable)!;
    const list = (refreshes[weight] ??= []);
    const reference = toTensor(recorded.get(`basis.${weight}.${list.length}`)!) as tf.Tensor2D;
    list.push({step: losses.step});
    if (bases === 'recorded') return reference;
    const own = exactBasis(gradient, rank, previous, variable);
    return tf.mul(own, tf.sign(tf.sum(tf.mul(own, reference), 0)));
  };
  const optimizer = new OwLoreOptimizer({
    learningRate: fixture.lr,
    beta1: fixture.betas[0],
    beta2: fixture.betas[1],
    epsilon: fixture.eps,
    weightDecay: fixture.weightDecay,
    clipNorm: fixture.clipNorm,
    accumulate: fixture.accumulate,
    kernels,
    ...(fixture.rank === null
      ? {project: false as const}
      : {
          project: fixture.method === 'galore' ? /_proj\.weight/ : ('auto' as const),
          rank: fixture.rank,
          scale: fixture.scale,
          refreshInterval: fixture.gap!,
          moments: fixture.moments!,
          side: 'paper' as const,
          basis,
        }),
  });
  model.compile({optimizer, loss: sparseCrossEntropy});

  const callbacks: tfl.Callback[] = [losses];
  if (fixture.blocksOn) {
    const block = (i: number): string => `model.layers.${i}`;
    callbacks.unshift(
      new LayerSamplingCallback({
        schedule: {
          blocks: [0, 1, 2].map(block),
          interval: fixture.period!,
          periods: fixture.blocksOn.map((on) => on.map(block)),
        },
      }),
    );
  }
  const [ids, labels] = readBatches(fixture);
  await model.fit(ids, labels, {batchSize: fixture.batch, shuffle: false, verbose: 0, callbacks});

  const suffix = bases === 'own exact' ? 'OwnBasis' : '';
  const lossComparison = new Comparison('losses', fixture.tolerance[`losses${suffix}`]);
  lossComparison.add('of all steps', losses.means, fixture.losses);
  lossComparison.finish();
  const weightComparison = new Comparison('weights', fixture.tolerance[`weights${suffix}`]);
  const weights = await getLlamaWeights(model);
  for (const [weight, {values}] of weights) {
    weightComparison.add(weight, values, recorded.get(`final.${weight}`)!.values);
  }
  weightComparison.finish();
  const finalNames = [...recorded.keys()].filter((key) => key.startsWith('final.'));
  expect(weights.size).to.equal(finalNames.length);
  const steps = Object.entries(fixture.refreshes ?? {}).map(
    ([weight, list]) => [weight, list.map(({step}) => ({step}))] as const,
  );
  expect(refreshes).to.deep.equal(Object.fromEntries(steps));

  tf.dispose([ids, labels]);
  optimizer.dispose();
  model.dispose();
  expect(tf.memory().numTensors).to.equal(tensorsBefore);
}

/** The sequences of all steps, one batch after the other, each position labelled with the next token. */
function readBatches({model, steps, accumulate, batch}: TrainingCase): [tf.Tensor, tf.Tensor] {
  const recorded = readTensors(`llama_train/${model}_batches`).get('ids')!;
  const [batches, , length] = recorded.shape as [number, number, number];
  return tf.tidy(() => {
    const all = tf.reshape(toTensor(recorded), [batches * batch, length]);
    const ids = tf.slice(all, 0, steps * accumulate * batch);
    // The last position has no next token.
    const labels = tf.pad(
      tf.slice(ids, [0, 1], [-1, length - 1]),
      [
        [0, 0],
        [0, 1],
      ],
      -100,
    );
    return [ids, tf.expandDims(labels, 2)];
  });
}

/** Takes down the loss of every batch. */
class StepLosses extends tfl.Callback {
  private readonly batchLosses: number[] = [];

  /** @param accumulate Batches in a step. */
  constructor(private readonly accumulate: number) {
    super();
  }

  override async onBatchEnd(_: number, logs?: tfl.Logs): Promise<void> {
    // In a class of callbacks a loss is a scalar, whatever the type says.
    const loss = logs!.loss as unknown as tf.Scalar;
    this.batchLosses.push((await loss.data())[0]!);
  }

  /** The step that is being done, from 1. */
  get step(): number {
    return 1 + Math.floor(this.batchLosses.length / this.accumulate);
  }

  /** The mean loss of each step's batches. */
  get means(): number[] {
    const sums: number[] = [];
    this.batchLosses.forEach((loss, i) => {
      const step = Math.floor(i / this.accumulate);
      sums[step] = (sums[step] ?? 0) + loss / this.accumulate;
    });
    return sums;
  }
}
