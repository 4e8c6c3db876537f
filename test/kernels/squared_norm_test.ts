import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import {OwLoreSquaredNorm} from '../../src/kernels/kernel_names';
import {runKernel} from '../../src/kernels/run_kernel';
import * as cpu from '../../src/kernels/cpu';
import * as wasm from '../../src/kernels/wasm';
import * as tensorflow from '../../src/kernels/tensorflow';
import {describeBackends, type BackendName} from '../support/backends';
import {fuzz} from '../support/fuzz';

const modules: Partial<Record<BackendName, typeof cpu>> = {cpu, tensorflow, wasm};

describeBackends('OwLoreSquaredNorm', (backend) => {
  const module = modules[backend];
  if (!module) return;
  before(() => module.installKernels());
  after(() => {
    if (backend !== 'wasm') module.uninstallKernels();
  });

  /** The kernel's result. */
  async function squaredNorm(values: Float32Array, shape: number[]): Promise<number> {
    const before = tf.memory().numTensors;
    const x = tf.tensor(values, shape);
    const [norm] = runKernel(OwLoreSquaredNorm, {x})!;
    expect(norm!.shape).to.deep.equal([]);
    const [value] = await norm!.data();
    tf.dispose([x, norm!]);
    expect(tf.memory().numTensors).to.equal(before);
    return value!;
  }

  it('is the sum of the squares: any size, 1e-15 to 1e15', async () => {
    const property = fc.asyncProperty(
      fc.constantFrom<number[][]>([], [0], [1], [7], [3, 5], [2, 3, 4], [129, 300]),
      fc.constantFrom(1e-15, 1, 1e15),
      fc.integer({min: 1, max: 1e6}),
      async (shape, scale, seed) => {
        const size = tf.util.sizeFromShape(shape);
        const values = Float32Array.from({length: size}, (_, i) => scale * Math.sin(seed + i));
        const expected = values.reduce((sum, x) => sum + x * x, 0);
        // roundings of float32 in a sum by parts
        const tolerance = 1e-5 * expected;
        expect(await squaredNorm(values, shape)).to.be.closeTo(expected, tolerance);
      },
    );
    await fc.assert(property, fuzz(30));
  });

  it('is not finite if a number is not, or a square', async () => {
    expect(await squaredNorm(Float32Array.of(1, NaN, 2), [3])).to.be.NaN;
    expect(await squaredNorm(Float32Array.of(1, -Infinity, 2), [3])).to.equal(Infinity);
    expect(await squaredNorm(Float32Array.of(1, 1e30), [2])).to.equal(Infinity);
  });
});
