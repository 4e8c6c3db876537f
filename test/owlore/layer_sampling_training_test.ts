import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {linearDecay} from '../../src/index';
import {describeFastBackends, thorough} from '../support/backends';
import {readJson, readTensors, toTensor} from '../support/fixtures';
import {describeKernelSets, type KernelSet} from '../support/kernel_sets';
import {createPlainModel, plainModelWeights} from '../support/plain_model';
import {
  optimizerOf,
  RunBases,
  samplingOf,
  StepLosses,
  weightComparison,
  type Bases,
  type TrainingCase,
} from '../support/training_run';

/*
 * Whole training runs through compile and fit, against a float64 loop: full fine-tuning, LISA, GaLore and OwLore, with
 * clipping, accumulation and all the ways to carry moments and state.
 */

interface PlainCase extends TrainingCase {
  model: 'mean_tanh' | 'flat_relu';
  lr: number[];
  schedule: string;
  snapshots: number[];
}

const blocks = Array.from({length: 6}, (_, i) => `block${i}`);

describeFastBackends('training runs', function (this: Mocha.Suite, backend) {
  // A GPU in software takes about a millisecond for each of a step's hundreds of kernels.
  if (backend === 'webgpu' || backend === 'webgl') this.timeout(180_000);
  const {cases} = readJson<{cases: Array<{name: string}>}>('mlp_train/index');
  describeKernelSets(backend, (kernels) => {
    // Plain ops on a GPU in software: some of the runs.
    const isShort = backend === 'webgpu' && kernels === 'none';
    for (const {name} of isShort ? cases.slice(0, 5) : cases) {
      if (name === 'lora') continue;
      const {rank} = readJson<PlainCase>(`mlp_train/${name}`);
      it(rank === null ? name : `${name}, recorded bases`, () =>
        runCase(name, 'recorded', kernels),
      );
      // The exact basis needs a read-back, which webgpu cannot do within a step.
      if (rank !== null && backend !== 'webgpu' && (thorough || kernels !== 'none')) {
        it(`${name}, own exact bases`, () => runCase(name, 'own exact', kernels));
      }
    }
  });
});

async function runCase(name: string, bases: Bases, kernels: KernelSet): Promise<void> {
  const fixture = readJson<PlainCase>(`mlp_train/${name}`);
  const recorded = readTensors(`mlp_train/${name}`);
  const start = readTensors(`mlp_train/model_${fixture.model}`);
  const [batches, batch, sequenceLength] = start.get('ids')!.shape as [number, number, number];
  const [pool, activation] =
    fixture.model === 'mean_tanh' ? (['mean', 'tanh'] as const) : (['flatten', 'relu'] as const);
  const model = createPlainModel({
    blocks: blocks.length,
    pool,
    activation,
    weights: start,
    sequenceLength,
  });
  const variables = plainModelWeights(model);
  const names = new Map([...variables].map(([key, variable]) => [variable.name, key]));

  const recorder = new Recorder(fixture, variables);
  const runBases = new RunBases(bases, recorded, names, recorder);
  const [rate] = fixture.lr as [number];
  const optimizer = optimizerOf(fixture, {
    learningRate: fixture.schedule === 'constant' ? rate : linearDecay(rate, fixture.steps),
    galore: /^block\d\.fc\d\/kernel/,
    basis: runBases.basis,
    kernels,
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
  const events: Array<[string, number]> = [];
  const sampling = samplingOf(fixture, blocks);
  for (const {events: told} of sampling) {
    told.on('refresh', ({variable, step}) => events.push([names.get(variable)!, step]));
  }
  const callbacks = [...sampling, recorder];
  await model.fit(ids, labels, {batchSize: batch, shuffle: false, verbose: 0, callbacks});

  recorder.expectThoseOf(fixture, bases);
  const weights = weightComparison(fixture, bases);
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
  runBases.expectRefreshes(fixture);
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

/** Takes down losses, and the weights after the steps that the fixture has them of. */
class Recorder extends StepLosses {
  readonly snapshots = new Map<number, Map<string, Float32Array>>();

  constructor(
    private readonly fixture: PlainCase,
    private readonly variables: Map<string, tf.Variable>,
  ) {
    super(fixture.accumulate);
  }

  override async onBatchEnd(batch: number, logs?: tfl.Logs): Promise<void> {
    await super.onBatchEnd(batch, logs);
    const step = (batch + 1) / this.fixture.accumulate;
    if (!this.fixture.snapshots.includes(step)) return;
    const values = new Map<string, Float32Array>();
    for (const [name, variable] of this.variables) {
      values.set(name, Float32Array.from(await variable.data<'float32'>()));
    }
    this.snapshots.set(step, values);
  }
}
