import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {OwLoreAdam, type OwLoreAdamAttrs, type Side} from '../../../../src/kernels/kernel_names';
import * as cpu from '../../../../src/kernels/cpu';
import * as tensorflow from '../../../../src/kernels/tensorflow';
import * as wasm from '../../../../src/kernels/wasm';
import * as webgpu from '../../../../src/kernels/webgpu';
import {
  basisShape,
  planProjection,
  projectedShape,
} from '../../../../src/owlore/optimizer/state/projector';
import {emptyState} from '../../../../src/owlore/optimizer/state/state';
import type {StepSettings, Update} from '../../../../src/owlore/optimizer/step/pending_update';
import {applyUpdates} from '../../../../src/owlore/optimizer/step/update';
import {owloreDefaults} from '../../../../src/owlore/optimizer/options';
import {backends, describeBackends, type BackendName} from '../../../support/backends';
import {watchKernels} from '../../../../src/tfjs/kernels';
import {describeStandIn} from '../../../support/stand_in';

const modules: Partial<
  Record<BackendName, Pick<typeof webgpu, 'installKernels' | 'uninstallKernels'>>
> = {cpu, tensorflow, wasm, webgpu};

const options = owloreDefaults;

/** Normally distributed, by a seed; kept. */
const normal = (shape: number[], seed: number): tf.Tensor =>
  tf.keep(tf.randomNormal(shape, 0, 1, 'float32', seed));

/** An update in the middle of a training, of a variable that is projected at rank 2 if it has a side. */
function updateOf(shape: number[], seed: number, side?: Side, isRefreshed = false): Update {
  const projection = side ? planProjection(shape, 2, side)! : null;
  const momentShape = projection ? projectedShape(projection) : shape;
  const basisOf = (seed: number): tf.Tensor2D | null =>
    projection && (normal(basisShape(projection), seed) as tf.Tensor2D);
  const variable = tf.tidy(() => tf.variable(tf.randomNormal(shape, 0, 1, 'float32', seed)));
  const first = normal(momentShape, seed + 1);
  const second = tf.tidy(() => tf.keep(tf.square(first)));
  return {
    variable,
    projection,
    state: {
      ...emptyState(),
      moments: {first, second},
      basis: basisOf(seed + 3),
      adamSteps: 3,
      basisSteps: 1,
    },
    gradient: normal(momentShape, seed + 4),
    newBasis: isRefreshed ? basisOf(seed + 5) : null,
    weightDecay: 0.1,
    rateFactor: 1,
    whole: null,
  };
}

/** Plain variables and projected ones, one of them a convolution's kernel, one with a new basis; on tensorflow also large ones. */
const makeUpdates = (): Update[] => [
  ...(backends.includes('tensorflow') && tf.getBackend() === 'tensorflow'
    ? [updateOf([1100, 1000], 61, 'left'), updateOf([2100, 520], 71, 'right')]
    : []),
  updateOf([5], 1),
  updateOf([12, 6], 11, 'left'),
  updateOf([7, 3], 21),
  updateOf([6, 12], 31, 'right', true),
  updateOf([2, 2, 3, 8], 41, 'left'),
  updateOf([], 51),
];

function disposeOf(updates: readonly Update[]): void {
  for (const {variable, state, newBasis} of updates) {
    const {first, second} = state.moments!;
    for (const x of [variable, first, second, state.basis, newBasis]) x?.dispose();
  }
}

/** All numbers that a step changes. */
async function results(updates: readonly Update[]): Promise<Array<[string, number[]]>> {
  const all: Array<[string, number[]]> = [];
  for (const [i, {variable, state}] of updates.entries()) {
    const {basis, moments, adamSteps, basisSteps} = state;
    for (const [name, x] of Object.entries({variable, ...moments, basis})) {
      all.push([`${name} of update ${i}`, x ? [...(await x.data<'float32'>())] : []]);
    }
    all.push([`clocks of update ${i}`, [adamSteps, basisSteps]]);
  }
  return all;
}

/** How many variables each call of the kernel in `body` updates. */
function callsIn(body: () => void): number[] {
  const calls: number[] = [];
  const engine = tf.engine();
  const runKernel = engine.runKernel.bind(engine);
  engine.runKernel = (name, inputs, attrs) => {
    if (name === OwLoreAdam) calls.push((attrs as unknown as OwLoreAdamAttrs).updates.length);
    return runKernel<never>(name, inputs, attrs);
  };
  try {
    body();
  } finally {
    Reflect.deleteProperty(engine, 'runKernel'); // its class's method again
  }
  return calls;
}

/** The cpu's kernel under tensorflow's name, by which variables are put together. */
const cpuAsTensorflow: (typeof modules)[BackendName] = {
  async installKernels() {
    await cpu.installKernels();
    const kernel = tf.getKernel(OwLoreAdam, 'cpu');
    tf.registerKernel({...kernel, backendName: 'tensorflow'});
  },
  // the stand-in takes its kernels with it
  uninstallKernels: () => undefined,
};

describeBackends('fusedAdam', (backend) => describeFusedAdam(backend, modules[backend]));
describeStandIn('tensorflow', 'fusedAdam', (backend) =>
  describeFusedAdam(backend, cpuAsTensorflow),
);

function describeFusedAdam(backend: BackendName, module: (typeof modules)[BackendName]): void {
  if (!module) return;
  before(() => module.installKernels());
  after(() => {
    if (backend !== 'wasm') module.uninstallKernels();
  });

  function withoutKernel(body: () => void): void {
    const kernel = tf.getKernel(OwLoreAdam, backend);
    tf.unregisterKernel(OwLoreAdam, backend);
    try {
      body();
    } finally {
      tf.registerKernel(kernel);
    }
  }

  for (const clip of [null, 0.3]) {
    for (const allFinite of [null, true, false]) {
      it(`moves weights and moments as plain ops do: clip ${clip}, all finite: ${allFinite}`, async () => {
        const {numTensors} = tf.memory();
        const dataIds = tf.engine().backend.numDataIds();
        const apply = (updates: readonly Update[]): void =>
          tf.tidy(() => {
            const step: StepSettings = {
              ...{options, learningRate: 0.01, step: 0, onRefresh: () => undefined},
              clip: clip === null ? null : tf.scalar(clip),
              allFinite: allFinite === null ? null : tf.scalar(allFinite, 'bool'),
            };
            applyUpdates(updates, step);
          });
        const [fused, plain] = [makeUpdates(), makeUpdates()];
        expect(callsIn(() => apply(fused))).not.to.deep.equal([]);
        expect(callsIn(() => withoutKernel(() => apply(plain)))).to.deep.equal([]);
        const actual = await results(fused);
        for (const [i, [name, values]] of (await results(plain)).entries()) {
          expect(actual[i]![0]).to.equal(name);
          // Some roundings of numbers up to about 5; none on cpu, but for the sums of a product.
          const largest = values.reduce(
            (max, value, j) => Math.max(max, Math.abs(value - actual[i]![1][j]!)),
            0,
          );
          const isExact = backend === 'cpu' && !fused[Number(name.split(' ').at(-1))]!.projection;
          expect(largest, name).to.be.at.most(isExact ? 0 : 3e-6);
        }
        disposeOf([...fused, ...plain]);
        expect(tf.memory().numTensors).to.equal(numTensors);
        // on webgpu what an earlier test has read may only be freed now
        expect(tf.engine().backend.numDataIds()).to.be.at.most(dataIds);
      });
    }
  }

  it('moves the largest first where each is moved alone', () => {
    if (backend === 'tensorflow') return;
    const sizes: number[] = [];
    watchKernels(
      () => {
        const updates = [[4, 4], [8, 8], [2], [6, 6]].map((shape, i) => updateOf(shape, i)); // prettier-ignore
        const step = {options, learningRate: 0.1, clip: null, allFinite: null, step: 0};
        applyUpdates(updates, {...step, onRefresh: () => undefined});
        disposeOf(updates);
      },
      ({name, inputs}) => {
        if (name === OwLoreAdam) sizes.push(inputs['variable0']!.size);
      },
    );
    expect(sizes).to.deep.equal([64, 36, 16, 2]);
  });

  it('leaves everything as it was where a gradient is not finite', async () => {
    const updates = makeUpdates().filter(({newBasis}) => !newBasis);
    const isNumbers = ([name]: [string, number[]]): boolean => !name.startsWith('clocks');
    const before = (await results(updates)).filter(isNumbers);
    tf.tidy(() => {
      const [clip, allFinite] = [tf.scalar(NaN), tf.scalar(false, 'bool')];
      applyUpdates(updates, {
        options,
        learningRate: 0.01,
        clip,
        allFinite,
        step: 0,
        onRefresh: () => undefined,
      });
    });
    expect((await results(updates)).filter(isNumbers)).to.deep.equal(before);
    disposeOf(updates);
  });

  it('updates projected and small variables together on tensorflow, all else one by one', () => {
    const together = (shapes: number[][], side?: Side): number[] =>
      tf.tidy(() => {
        const updates = shapes.map((shape, i) => updateOf(shape, i, side));
        const step = {options, learningRate: 0.1, clip: null, allFinite: null};
        const calls = callsIn(() =>
          applyUpdates(updates, {...step, step: 0, onRefresh: () => undefined}),
        );
        disposeOf(updates);
        return calls;
      });
    const isTogether = backend === 'tensorflow';
    const small = [[64, 32], [32, 64], [2, 2, 2, 8]]; // prettier-ignore
    expect(together(small, 'right')).to.deep.equal(isTogether ? [3] : [1, 1, 1]);
    expect(together(small)).to.deep.equal(isTogether ? [3] : [1, 1, 1]);
    if (!isTogether) return;
    // 2 ** 15 numbers and more; the largest first
    expect(together([[8, 8], [256, 128], [256, 129]])).to.deep.equal([2, 1]); // prettier-ignore
    const large = [[1024, 600], [600, 1024], [2048, 1024], [8, 8]]; // prettier-ignore
    expect(together(large, 'right')).to.deep.equal([1, 1, 1, 1]);
    expect(together([[1024, 512], [512, 1024], [8, 8]], 'right')).to.deep.equal([2, 1]); // prettier-ignore
  });
}
