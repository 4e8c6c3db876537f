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
import {samplerNames} from '../../src/sampling/samplers';
import {describeBackends} from '../support/backends';
import {fuzz} from '../support/fuzz';
import {held} from '../support/sentinels';
import {exactKernels, SmallTraining, type SmallTrainingOptions} from './small_training';

const optimizers: fc.Arbitrary<OwLoreOptions> = fc.record({
  learningRate: fc.constantFrom<LearningRate[]>(0.05, cosineDecay(0.1, 12), warmup(4, 0.05)),
  weightDecay: fc.constantFrom(0, 0.1),
  project: fc.constantFrom<Array<'auto' | false>>('auto', 'auto', false),
  scale: fc.constantFrom<Array<'auto' | number>>('auto', 0.5),
  refreshInterval: fc.integer({min: 1, max: 5}),
  stagger: fc.boolean(),
  side: fc.constantFrom('paper', 'auto', 'left', 'right'),
  moments: fc.constantFrom('keep', 'rotate', 'reset'),
  state: fc.constantFrom('reset', 'keep'),
  clipNorm: fc.constantFrom(null, 0.1),
  normGrowth: fc.constantFrom(null, 1.01),
  accumulate: fc.integer({min: 1, max: 3}),
  nonFinite: fc.constantFrom('throw', 'skip', 'ignore'),
});

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

describeBackends('exact resume', () => {
  let before: ReturnType<typeof held>;
  beforeEach(() => (before = held()));
  afterEach(() => expect(held()).to.deep.equal(before));

  it('has the losses and weights of the run that did not stop, wherever and whatever it is', () =>
    fc.assert(
      fc.asyncProperty(
        optimizers,
        samplings,
        fc.integer({min: 0, max: BATCHES - 1}),
        async (optimizer, sampling, stop) => {
          const options: SmallTrainingOptions = {
            optimizer: {...optimizer, kernels: exactKernels()},
            sampling,
          };
          const whole = new SmallTraining(options);
          await whole.optimizer.ready();
          await whole.train(stop);
          const files = new Map<string, Uint8Array>();
          await saveCheckpoint(files, whole.parts);
          const losses = await whole.train(BATCHES - stop);
          const end = await whole.snapshot();
          whole.dispose();

          const resumed = new SmallTraining({...options, seed: 2});
          const {step} = (await resumeCheckpoint(files, resumed.parts))!;
          expect(step).to.equal(Math.floor(stop / optimizer.accumulate!));
          expect(await resumed.train(BATCHES - stop)).to.deep.equal(losses);
          expect(await resumed.snapshot()).to.deep.equal(end);
          resumed.dispose();
        },
      ),
      {seed: 7, ...fuzz(36)},
    )).timeout(process.env.OWLORE_FUZZ_RUNS === undefined ? 240_000 : 0);
});
