import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {installKernelsForBackend} from '../../src/kernels/install_for_backend';
import {OwLoreAccumulate} from '../../src/kernels/kernel_names';
import {runKernel} from '../../src/kernels/run_kernel';
import {describeBackends} from '../support/backends';
import {held} from '../support/sentinels';
import {kernelSets} from './kernel_sets';

describeBackends('OwLoreAccumulate', (backend) => {
  if (backend !== 'wasm' && backend !== 'tensorflow') return;
  before(installKernelsForBackend);
  after(() => {
    // those of wasm are the tests' usual state
    const {kernels} = kernelSets.find((set) => set.backend === backend)!;
    if (backend !== 'wasm') kernels.uninstallKernels();
  });

  const accumulate = (sum: tf.Tensor, x: tf.Tensor): tf.Tensor =>
    runKernel(OwLoreAccumulate, {sum, x})![0]!;

  it('gives the same, to the last bit, as tf.add, in the memory of the sum', async () => {
    const before = held();
    for (const shape of [[3], [7, 5], [0, 2], [33, 1, 4]]) {
      const [sum, x] = [1, 2].map((seed) => tf.randomNormal(shape, 0, 1, 'float32', seed));
      const wanted = tf.add(sum!, x!);
      const expected = await wanted.data();
      const result = accumulate(sum!, x!);
      expect(result.dataId).to.equal(sum!.dataId);
      expect(result.shape).to.deep.equal(shape);
      expect(await result.data()).to.deep.equal(expected);
      tf.dispose([sum, x, wanted, result]);
    }
    expect(held()).to.deep.equal(before);
  });

  it('changes no tensor that shares its data', async () => {
    const sum = tf.fill([2, 3], 1);
    const x = tf.fill([2, 3], 4);
    const clone = tf.clone(sum);
    const results = [accumulate(sum, x)];
    clone.dispose();
    // on tensorflow it has the same memory under another id
    const flat = tf.reshape(sum, [6]);
    results.push(accumulate(sum, x));
    for (const result of results)
      expect([...(await result.data())]).to.deep.equal(Array(6).fill(5));
    expect([...(await flat.data())]).to.deep.equal(Array(6).fill(1));
    tf.dispose([sum, x, flat, ...results]);
  });
});
