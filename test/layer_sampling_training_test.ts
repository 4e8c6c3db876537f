import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {LayerSamplingCallback, linearDecay, OwLoreOptimizer} from '../src/index';
import type {BasisFunction} from '../src/index';
import {exactBasis} from '../src/optim/basis';
import {describeBackends} from './support/backends';
import {Comparison} from './support/close';
import type {Tolerance} from './support/close';
import {readJson, readTensors, toTensor} from './support/fixtures';
import {describeKernelSets, type KernelSet} from './support/kernel_sets';
import {createPlainModel, plainModelWeights} from './support/plain_model';

/*
 * Whole training runs through compile and fit, against a float64 loop: full fine-tuning, LISA, GaLore and OwLore, with
 * clipping, accumulation and all the ways to carry moments and state.
 */

interface TrainingCase {
  model: 'mean_tanh' | 'flat_relu';
  method: 'full' | 'lisa' | 'galore' | 'owlore' | 'lora';
  steps: number;
  batch: number;
  lr: number[];
  schedule: string;
  betas: [number, number];
  eps: number;
  weightDecay: number;
  clipNorm: number | null;
  accumulate: number;
  rank: number | null;
  gap: number | null;
  scale: number;
  moments: 'keep' | 'rotate' | 'reset' | null;
  stateOnFreeze: 'kept' | 'dropped' | null;
  period: number | null;
  blocksOn: number[][] | null;
  snapshots: number[];
  losses: number[];
  refreshes?: Record<string, Array<{k: number; step: number}>>;
  tolerance: Record<'losses' | 'weights' | 'lossesOwnBasis' | 'weightsOwnBasis', Tolerance>;
}

const blockCount = 6;

describeBackends('training runs', function (this: Mocha.Suite, backend) {
  // Software WebGPU takes about a millisecond for each of a step's hundreds of kernels.
  if (backend === 'webgpu') this.timeout(180_000);
  const {cases} = readJson<{cases: Array<{name: string}>}>('mlp_train/index');
  describeKernelSets(backend, (kernels) => {
    for (const {name} of cases) {
      if (name === 'lora') continue;
      const {rank} = readJson<TrainingCase>(`mlp_train/${name}`);
      it(rank === null ? name : `${name}, recorded bases`, () =>
        runCase(name, 'recorded', kernels),
      );
      // The exact basis needs a read-back, which webgpu cannot do within a step.
      if (rank !== null && backend !== 'webgpu') {
        it(`${name}, own exact bases`, () => runCase(name, 'own exact', kernels));
      }
    }
  });
});

async function runCase(
  name: string,
  bases: 'recorded' | 'own exact',
  kernels: KernelSet,
): Promise<void> {
  const fixture = readJson<TrainingCase>(`mlp_train/${name}`);
  const recorded = readTensors(`mlp_train/${name}`);
  const start = readTensors(`mlp_train/model_${fixture.model}`);
  const [batches, batch, sequenceLength] = start.get('ids')!.shape as [number, number, number];
  const [pool, activation] =
    fixture.model === 'mean_tanh' ? (['mean', 'tanh'] as const) : (['flatten', 'relu'] as const);
  const model = createPlainModel({
    blocks: blockCount,
    pool,
    activation,
    weights: start,
    sequenceLength,
  });
  const variables = plainModelWeights(model);
  const names = new Map([...variables].map(([key, variable]) => [variable.name, key]));

  const refreshed = new Map<string, number>();
  const basis: BasisFunction = (gradient, rank, previous, variable) => {
    const key = names.get(variable)!;
    const k = refreshed.get(key) ?? 0;
    refreshed.set(key, k + 1);
    const reference = toTensor(recorded.get(`basis.${key}.${k}`)!) as tf.Tensor2D;
    if (bases === 'recorded') return reference;
    const own = exactBasis(gradient, rank, previous, variable);
    return tf.mul(own, tf.sign(tf.sum(tf.mul(own, reference), 0)));
  };
  const optimizer = new OwLoreOptimizer({
    learningRate:
      fixture.schedule === 'constant' ? fixture.lr[0]! : linearDecay(fixture.lr[0]!, fixture.steps),
    beta1: fixture.betas[0],
    beta2: fixture.betas[1],
    epsilon: fixture.eps,
    weightDecay: fixture.weightDecay,
    clipNorm: fixture.clipNorm,
    accumulate: fixture.accumulate,
    kernels,
    state: fixture.stateOnFreeze === 'kept' ? 'keep' : 'reset',
    ...(fixture.rank === null
      ? {project: false as const}
      : {
          project: fixture.method === 'galore' ? /^block\d\.fc\d\/kernel/ : ('auto' as const),
          rank: fixture.rank,
          scale: fixture.scale,
          refreshInterval: fixture.gap!,
          moments: fixture.moments!,
          side: 'paper' as const,
          basis,
        }),
  });
  model.compile({
    optimizer,
    loss: (labels, logits) => tf.losses.softmaxCrossEntropy(labels, logits),
  });

  const count = fixture.steps * fixture.accumulate * batch;
  const ids = tf.tidy(() =>
    tf.slice(tf.reshape(toTensor(start.get('ids')!), [batches * batch, sequenceLength]), 0, count),
  );
  const classes = start.get('init.head.bias')!.shape[0]!;
  const labels = tf.tidy(() => {
    const flat = tf.reshape(toTensor(start.get('labels')!), [batches * batch]);
    return tf.cast(tf.oneHot(tf.slice(flat, 0, count), classes), 'float32');
  });
  const recorder = new Recorder(fixture, variables);
  const callbacks: tfl.Callback[] = [recorder];
  const events: Array<[string, number]> = [];
  if (fixture.blocksOn) {
    const blocks = Array.from({length: blockCount}, (_, i) => `block${i}`);
    const periods = fixture.blocksOn.map((on) => on.map((i) => `block${i}`));
    const sampling = new LayerSamplingCallback({
      schedule: {blocks, interval: fixture.period!, periods},
    });
    sampling.events.on('refresh', ({variable, step}) => events.push([names.get(variable)!, step]));
    callbacks.unshift(sampling);
  }
  await model.fit(ids, labels, {batchSize: batch, shuffle: false, verbose: 0, callbacks});

  const own = bases === 'own exact';
  const losses = new Comparison('losses', fixture.tolerance[own ? 'lossesOwnBasis' : 'losses']);
  losses.add('of all steps', recorder.meanLosses(), fixture.losses);
  losses.finish();
  const weights = new Comparison('weights', fixture.tolerance[own ? 'weightsOwnBasis' : 'weights']);
  expect([...recorder.snapshots.keys()]).to.deep.equal(fixture.snapshots);
  for (const [step, values] of recorder.snapshots) {
    for (const [key, value] of values) {
      weights.add(
        `${key} after step ${step}`,
        value,
        recorded.get(`weights.${step}.${key}`)!.values,
      );
    }
  }
  weights.finish();
  if (fixture.blocksOn && fixture.refreshes) {
    const expected = Object.entries(fixture.refreshes).flatMap(([key, list]) =>
      list.map(({step}): [string, number] => [key, step]),
    );
    expect(events).to.have.deep.members(expected);
  }
  tf.dispose([ids, labels]);
  optimizer.dispose();
  model.dispose();
}

/** Takes down the loss of every batch and the weights after the steps that the fixture has them of. */
class Recorder extends tfl.Callback {
  readonly snapshots = new Map<number, Map<string, Float32Array>>();
  private readonly batchLosses: number[] = [];

  constructor(
    private readonly fixture: TrainingCase,
    private readonly variables: Map<string, tf.Variable>,
  ) {
    super();
  }

  override async onBatchEnd(batch: number, logs?: tfl.Logs): Promise<void> {
    const loss = logs!.loss as unknown as tf.Tensor | number;
    this.batchLosses.push(typeof loss === 'number' ? loss : (await loss.data())[0]!);
    const step = (batch + 1) / this.fixture.accumulate;
    if (!this.fixture.snapshots.includes(step)) return;
    const values = new Map<string, Float32Array>();
    for (const [name, variable] of this.variables) {
      values.set(name, Float32Array.from(await variable.data<'float32'>()));
    }
    this.snapshots.set(step, values);
  }

  /** The mean loss of each step's batches. */
  meanLosses(): number[] {
    const {accumulate, steps} = this.fixture;
    return Array.from({length: steps}, (_, step) => {
      const parts = this.batchLosses.slice(step * accumulate, (step + 1) * accumulate);
      return parts.reduce((sum, loss) => sum + loss, 0) / accumulate;
    });
  }
}
