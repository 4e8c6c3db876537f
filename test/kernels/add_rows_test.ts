import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {installKernelsForBackend} from '../../src/kernels/install_for_backend';
import {OwLoreAddRows} from '../../src/kernels/kernel_names';
import {runKernel} from '../../src/kernels/run_kernel';
import {createRandom} from '../../src/common/random';
import {describeBackends} from '../support/backends';
import {held} from '../support/sentinels';
import {kernelSets} from './kernel_sets';

describeBackends('OwLoreAddRows', (backend) => {
  if (backend === 'cpu' || backend === 'webgl') return;
  before(installKernelsForBackend);
  after(() => {
    // those of wasm are the tests' usual state
    const {kernels} = kernelSets.find((set) => set.backend === backend)!;
    if (backend !== 'wasm') kernels.uninstallKernels();
  });

  const addRows = (
    x: tf.Tensor,
    ids: tf.Tensor,
    values: tf.Tensor,
    isSoleOwner = true,
  ): tf.Tensor => runKernel(OwLoreAddRows, {x, ids, values}, {isSoleOwner})![0]!;

  it('gives the same, to the last bit, as the sum with all rows', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(6), {maxLength: 30}),
        fc.constantFrom(1, 4, 7, 16),
        fc.boolean(),
        fc.nat(),
        async (ids, width, isSoleOwner, seed) => {
          const before = held();
          const random = createRandom(seed);
          const numbers = (rows: number): tf.Tensor2D => {
            const values = Float32Array.from({length: rows * width}, () => random.next() - 0.5);
            return tf.tensor2d(values, [rows, width]);
          };
          const [x, values, at] = [numbers(7), numbers(ids.length), tf.tensor1d(ids, 'int32')];
          const expected = tf.tidy(() => tf.add(x, tf.unsortedSegmentSum(values, at, 7)));
          const wanted = await expected.data();
          const sum = addRows(x, at, values, isSoleOwner);
          expect(sum.shape).to.deep.equal([7, width]);
          expect(await sum.data()).to.deep.equal(wanted);
          tf.dispose([x, values, at, expected, sum]);
          expect(held()).to.deep.equal(before);
        },
      ),
      {numRuns: backend === 'webgpu' ? 10 : 60},
    ));

  const inPlace = backend !== 'webgpu';
  it(`${inPlace ? 'works' : 'does not work'} in place for the only owner of the data`, () =>
    tf.tidy(() => {
      const [x, ids] = [tf.fill([3, 2], 1), tf.tensor1d([2], 'int32')];
      const sum = addRows(x, ids, tf.fill([1, 2], 5));
      expect(sum.dataId === x.dataId).to.equal(inPlace);
    }));

  it('changes no tensor that shares its data', async () => {
    const before = held();
    const [x, ids, values] = [tf.fill([3, 2], 1), tf.tensor1d([2], 'int32'), tf.fill([1, 2], 5)];
    const clone = tf.clone(x);
    const sums = [addRows(x, ids, values)];
    clone.dispose();
    // on tensorflow it has the same memory under another id
    const flat = tf.reshape(tf.mul(x, 1), [6]);
    const reshaped = tf.reshape(flat, [3, 2]);
    sums.push(addRows(reshaped, ids, values, false));
    for (const sum of sums) expect([...(await sum.data())]).to.deep.equal([1, 1, 1, 1, 6, 6]);
    for (const other of [x, flat])
      expect([...(await other.data())]).to.deep.equal(Array(6).fill(1));
    tf.dispose([x, ids, values, flat, reshaped, ...sums]);
    expect(held().bytes).to.be.at.most(before.bytes + 24); // that of the product above
  });
});
