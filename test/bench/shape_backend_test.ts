import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {imitatedBackends, registerShapeBackend} from '../../bench/harness/shape_backend';
import {
  adamOptions,
  owloreOptions,
  Training,
  trainedSets,
  type TrainingOptions,
} from '../../bench/harness/workload';
import {startMemoryMeter} from '../../src/memory/meter';
import {OwLoreOptimizer, type OwLoreOptions} from '../../src';
import * as tensorflowKernels from '../../src/kernels/tensorflow';
import {installKernels, uninstallKernels} from '../../src/kernels/wasm';
import {describeFastBackends, thorough} from '../support/backends';
import {modelZoo, type Kind} from '../support/model_zoo';

/** Small, but with more positions than attention takes at a time. */
const shape = {
  layers: 8,
  hidden: 8,
  intermediate: 12,
  heads: 2,
  vocabulary: 24,
  batch: 1,
  length: 66,
};

const optimizers: Record<string, OwLoreOptions> = {
  'OwLore with its defaults': {},
  'OwLore at rank 2': owloreOptions(shape),
  'clipped, skipping what is not finite': {...adamOptions, clipNorm: 1, nonFinite: 'skip'},
  'accumulated, rotated, decayed': {
    ...owloreOptions(shape),
    accumulate: 2,
    moments: 'rotate',
    refreshInterval: 1,
    weightDecay: 0.1,
  },
};

interface Steps {
  step(): Promise<unknown>;
  dispose(): void;
}

/** A model of the zoo on `tf.train.adam`, or on this library's optimizer. */
function train(kind: Kind, optimizer: tf.Optimizer): Steps {
  const {model, loss, createData} = kind.build();
  const {x, y} = createData(4);
  model.compile({optimizer, loss});
  return {
    step: async () => model.trainOnBatch(x, y),
    dispose() {
      model.dispose();
      optimizer.dispose();
      tf.dispose([x, y]);
    },
  };
}

/** Bytes at the peak of three steps. */
async function peakOf(create: () => Steps): Promise<number> {
  const meter = startMemoryMeter();
  const training = create();
  meter.reset();
  for (let i = 0; i < 3; i++) await training.step();
  const peak = meter.peak();
  training.dispose();
  meter.stop();
  return peak;
}

/** Leaves the wasm backend with tfjs's own kernels and the one that the gradient of an embedding lacks. */
function useStockKernels(): void {
  const lacking = tf.getKernel(tf.UnsortedSegmentSum, 'wasm');
  uninstallKernels();
  tf.registerKernel(lacking);
}

async function useOwnKernels(): Promise<void> {
  tf.unregisterKernel(tf.UnsortedSegmentSum, 'wasm');
  await installKernels();
}

describeFastBackends('shape backend', (backend) => {
  const imitated = imitatedBackends.find((name) => name === backend);
  if (!imitated) return;
  let shapes: string;
  before(async () => {
    shapes = await registerShapeBackend(imitated);
    if (backend === 'wasm') useStockKernels();
    if (backend === 'tensorflow') tensorflowKernels.uninstallKernels();
  });
  after(async () => {
    if (backend === 'wasm') await useOwnKernels();
    if (backend === 'tensorflow') await tensorflowKernels.installKernels();
  });

  /** tensorflow's kernels are told shapes, axes and the like by tensors of a few numbers. */
  const tolerance = backend === 'tensorflow' ? 256 : 0;

  async function compare(create: () => Steps): Promise<void> {
    const real = await peakOf(create);
    await tf.setBackend(shapes);
    try {
      expect(await peakOf(create)).to.be.within(real - tolerance, real);
    } finally {
      await tf.setBackend(backend);
    }
  }

  const llama = (options: Omit<TrainingOptions, 'shape'>) => () =>
    compare(() => new Training({shape, ...options}));

  for (const [title, trained] of Object.entries(trainedSets)) {
    // Slow on cpu; the others say nothing about it that these do not.
    if ((backend === 'cpu' || !thorough) && title !== 'lisa') continue;
    for (const variant of ['stock', 'none', 'auto'] as const) {
      it(`has the peak of a real step: ${title}, ${variant}`, llama({trained, variant}));
    }
  }

  for (const [title, optimizer] of Object.entries(optimizers).slice(0, thorough ? undefined : 2)) {
    it(
      `has the peak of a real step: ${title}`,
      llama({trained: trainedSets.lisa, variant: 'auto', optimizer}),
    );
  }

  it('leaves no tensor behind and reads zeros', async () => {
    await tf.setBackend(shapes);
    const {numTensors} = tf.memory();
    const training = new Training({shape, trained: 'all', variant: 'auto'});
    expect(await training.step()).to.equal(0);
    training.dispose();
    expect(tf.memory().numTensors).to.equal(numTensors);
    expect(tf.backend().numDataIds()).to.equal(0);
    await tf.setBackend(backend);
  });

  it(
    'has the peak of a real step: the head in the loss',
    llama({trained: 'all', variant: 'auto', headInLoss: true}),
  );

  // tfjs's own wasm kernels cannot train most of them
  const kinds =
    backend === 'cpu' ? modelZoo.filter(({title}) => !/LSTM|gpt/.test(title)) : modelZoo;
  for (const kind of backend === 'wasm' ? [] : kinds) {
    it(`has the peak of a real step: ${kind.title}`, async () => {
      await compare(() => train(kind, tf.train.adam()));
      await compare(() => train(kind, new OwLoreOptimizer({rank: 2, kernels: 'none'})));
    });
  }
});
