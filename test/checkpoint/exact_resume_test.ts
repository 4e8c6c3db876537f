import {mkdtempSync, readdirSync, copyFileSync, mkdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {
  cosineDecay,
  resumeCheckpoint,
  saveCheckpoint,
  warmup,
  type LayerSamplingOptions,
  type LearningRate,
  type OwLoreOptions,
} from '../../src/index';
import {readsSynchronously} from '../../src/kernels/capabilities';
import {kernelHistory} from '../../src/kernels/kernel_history';
import {uninstallKernels} from '../../src/kernels/tensorflow';
import type {GraphsHistory} from '../../src/kernels/tensorflow/graphs';
import {samplerNames} from '../../src/owlore/sampling/samplers';
import {defaultBackend, describeFastBackends, thorough} from '../support/backends';
import {fuzz} from '../support/fuzz';
import {runProgram} from '../support/programs';
import {held} from '../support/sentinels';
import {withTemporaryFolder} from '../support/temporary_folder';
import {expectWarning} from '../support/warnings';
import type {Progress} from './resumed_program';
import {installNewKernels, SmallTraining, type SmallTrainingOptions} from './small_training';

/** Updates with the basis that each is for. */
const updates: Array<Pick<Required<OwLoreOptions>, 'update' | 'basis'>> = [
  {update: 'galore', basis: 'randomized'},
  {update: 'galore', basis: 'svd'},
  {update: 'fira', basis: 'randomized'},
  {update: 'apollo', basis: 'randomized'},
  {update: 'apollo-mini', basis: 'randomized'},
];

const updated = fc.constantFrom(...updates);

const ownOptions: fc.Arbitrary<OwLoreOptions> = fc.record({
  learningRate: fc.constantFrom<LearningRate[]>(0.05, cosineDecay(0.1, 12), warmup(4, 0.05)),
  weightDecay: fc.constantFrom(0, 0.1),
  project: fc.constantFrom<Array<'auto' | false>>('auto', 'auto', false),
  scale: fc.constantFrom<Array<'auto' | number>>('auto', 0.5),
  refreshInterval: fc.integer({min: 1, max: 5}),
  side: fc.constantFrom('paper', 'auto', 'left', 'right'),
  moments: fc.constantFrom('keep', 'rotate', 'reset'),
  state: fc.constantFrom('reset', 'keep'),
  clipNorm: fc.constantFrom(null, 0.1),
  accumulate: fc.integer({min: 1, max: 3}),
  nonFinite: fc.constantFrom('throw', 'skip', 'ignore'),
  learningRates: fc.constantFrom<Array<OwLoreOptions['learningRates']>>(null, [
    {variables: ['b1', 'head'], factor: 0.1},
    {variables: /bias/, factor: 2},
  ]),
});

const optimizers: fc.Arbitrary<OwLoreOptions> = fc
  .tuple(ownOptions, updated)
  .map((both) => Object.assign({}, ...both) as OwLoreOptions);

/** As they are, or otherwise where the backend cannot be read in a step. */
function possible({optimizer, sampling}: SmallTrainingOptions): SmallTrainingOptions {
  const {basis} = optimizer!;
  const isRead = basis === 'svd' && !readsSynchronously();
  return {sampling, optimizer: {...optimizer, basis: isRead ? 'randomized' : basis}};
}

const samplings: fc.Arbitrary<LayerSamplingOptions | null> = fc.option(
  fc.record({
    scores: fc.constantFrom<Array<LayerSamplingOptions['scores']>>(
      'uniform',
      'decreasing',
      [3, 1, 4, 2],
    ),
    gamma: fc.constantFrom(1, 2),
    sampler: fc.constantFrom(...samplerNames),
    interval: fc.integer({min: 1, max: 4}),
    alwaysOn: fc.constantFrom<Array<LayerSamplingOptions['alwaysOn']>>('auto', ['head']),
    seed: fc.nat(1000),
  }),
  {freq: 5},
);

const BATCHES = 16;
/** Of the LLaMA's kernels on tensorflow. */
const RUNS_BEFORE_GRAPH = 8;

describeFastBackends('exact resume', (backend) => {
  let before: ReturnType<typeof held>;
  beforeEach(() => (before = held()));
  afterEach(() => expect(held()).to.deep.equal(before));
  after(uninstallKernels);

  it('has the losses and weights of the run that did not stop, wherever and whatever it is', () =>
    fc.assert(
      fc.asyncProperty(
        optimizers,
        samplings,
        fc.integer({min: 0, max: BATCHES - 1}),
        async (optimizer, sampling, stop) => {
          const options = possible({optimizer, sampling});
          installNewKernels();
          const whole = new SmallTraining(options);
          await whole.optimizer.ready();
          await whole.train(stop);
          const files = new Map<string, Uint8Array>();
          await saveCheckpoint(files, whole.parts);
          const losses = await whole.train(BATCHES - stop);
          const end = await whole.snapshot();
          whole.dispose();

          installNewKernels();
          const resumed = new SmallTraining({...options, seed: 2});
          const {step} = (await resumeCheckpoint(files, resumed.parts))!;
          expect(step).to.equal(Math.floor(stop / optimizer.accumulate!));
          expect(await resumed.train(BATCHES - stop)).to.deep.equal(losses);
          expect(await resumed.snapshot()).to.deep.equal(end);
          resumed.dispose();
        },
      ),
      {seed: 7, ...fuzz(thorough && backend !== 'webgpu' ? 36 : 12)},
    )).timeout(process.env.OWLORE_FUZZ_RUNS === undefined ? 240_000 : 0);

  it('has those of a LLaMA', async () => {
    const options: SmallTrainingOptions = {
      ...{task: 'llama', blocks: 2},
      sampling: {gamma: 1, interval: 2},
    };
    installNewKernels(RUNS_BEFORE_GRAPH);
    const whole = new SmallTraining(options);
    await whole.optimizer.ready();
    const files: Array<Map<string, Uint8Array>> = [];
    const losses: number[] = [];
    const graphs: number[] = [];
    for (let stop = 0; stop < BATCHES; stop++) {
      files.push(new Map());
      await saveCheckpoint(files[stop]!, whole.parts);
      graphs.push(countGraphs());
      losses.push(...(await whole.train(1)));
    }
    graphs.push(countGraphs());
    const end = await whole.snapshot();
    whole.dispose();
    if (backend === 'tensorflow') {
      // Some kernels run several times in a batch, others once.
      expect(graphs[1]).to.equal(0);
      expect(graphs[9], graphs.join()).to.be.greaterThan(graphs[4]!);
    }
    for (let stop = 0; stop < BATCHES; stop += backend === 'tensorflow' ? 1 : 5) {
      installNewKernels(RUNS_BEFORE_GRAPH);
      const resumed = new SmallTraining({...options, seed: 2});
      await resumeCheckpoint(files[stop]!, resumed.parts);
      expect(countGraphs(), `after batch ${stop}`).to.equal(graphs[stop]);
      const after = await resumed.train(BATCHES - stop);
      expect(after, `after batch ${stop}`).to.deep.equal(losses.slice(stop));
      expect(await resumed.snapshot(), `after batch ${stop}`).to.deep.equal(end);
      resumed.dispose();
    }
  }).timeout(240_000);

  if (backend !== 'tensorflow') return;

  it('warns where it may not be: no graphs here, another backend', async () => {
    installNewKernels(1);
    const files = new Map<string, Uint8Array>();
    const first = new SmallTraining();
    await first.train(2);
    await saveCheckpoint(files, first.parts);
    first.dispose();
    const resume = async (): Promise<void> => {
      const resumed = new SmallTraining();
      await resumeCheckpoint(files, resumed.parts);
      await resumed.train(1);
      resumed.dispose();
    };
    await resume();

    expectWarning(
      /^tfjs-owlore: TensorFlow cannot load the graphs of kernels, so that they run op by op/,
    );
    await withTemporaryFolder('/nowhere/at/all', resume);

    if (defaultBackend === backend) return;
    await tf.setBackend(defaultBackend);
    expectWarning(/: it was saved on the backend 'tensorflow', and this is '[a-z]+'$/);
    await resume();
    await tf.setBackend(backend);
  });

  describe('in another process', () => {
    let folder: string;
    beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'owlore-resumed-'))));
    afterEach(() => rmSync(folder, {recursive: true}));

    it('runs kernels as graphs that had been graphs', async () => {
      const LENGTH = 22;
      const whole = await train(join(folder, 'whole'), LENGTH);
      expect(whole.losses).to.have.length(LENGTH);
      for (const stop of [5, 16]) {
        const copy = join(folder, `${stop}`);
        mkdirSync(copy);
        for (const file of readdirSync(join(folder, 'whole'))) {
          const number = /^checkpoint-(\d+)/.exec(file)?.[1] ?? 0;
          if (Number(number) <= stop) copyFileSync(join(folder, 'whole', file), join(copy, file));
        }
        const resumed = await train(copy, LENGTH);
        expect(resumed.losses, `after ${stop}`).to.deep.equal(whole.losses.slice(stop));
        expect(resumed.snapshot, `after ${stop}`).to.deep.equal(whole.snapshot);
      }
    }).timeout(300_000);

    async function train(target: string, batches: number): Promise<Progress> {
      const args = [backend, target, String(batches)];
      const {code, stdout, stderr} = await runProgram('test/checkpoint/resumed_program', args);
      expect(code, stderr).to.equal(0);
      return JSON.parse(stdout) as Progress;
    }
  });
});

/** How many kernels run as graphs, by shapes and attributes. */
function countGraphs(): number {
  const history = kernelHistory() as GraphsHistory | null;
  const usages = Object.values(history?.kernels ?? {}).flat();
  return usages.filter(({runs}) => runs >= RUNS_BEFORE_GRAPH).length;
}
