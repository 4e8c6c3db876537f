import {expect} from 'chai';
import fc from 'fast-check';
import * as tf from '@tensorflow/tfjs-core';
import {installKernels, uninstallKernels} from '../../../src/kernels/cpu';
import {backends, defaultBackend} from '../../support/backends';
import {fuzz} from '../../support/fuzz';

(backends.includes('cpu') ? describe : describe.skip)('UnsortedSegmentSum on cpu', () => {
  before(async () => {
    uninstallKernels(); // those of other tests
    await tf.setBackend('cpu');
  });
  afterEach(uninstallKernels);
  after(() => tf.setBackend(defaultBackend));

  it('sums as the stock kernel does', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({min: -2, max: 7}), {minLength: 1, maxLength: 40}),
        fc.constantFrom([], [1], [5], [3, 4]),
        fc.integer({min: 1, max: 6}),
        async (ids, rowShape, numSegments) => {
          const before = tf.memory().numTensors;
          const x = tf.randomUniform([ids.length, ...rowShape], -9, 9, 'float32', ids.length);
          const segmentIds = tf.tensor1d(ids, 'int32');
          const stock = tf.unsortedSegmentSum(x, segmentIds, numSegments);
          void installKernels();
          const own = tf.unsortedSegmentSum(x, segmentIds, numSegments);
          uninstallKernels();
          expect(own.shape).to.deep.equal(stock.shape);
          const expected = await stock.data();
          // Sums of at most 40 floats below 9, in another order.
          (await own.data()).forEach((sum, i) => expect(sum).to.be.closeTo(expected[i]!, 1e-4));
          tf.dispose([x, segmentIds, stock, own]);
          expect(tf.memory().numTensors).to.equal(before);
        },
      ),
      fuzz(100),
    ));

  it('keeps whole numbers whole', async () => {
    await installKernels();
    const [x, ids] = [tf.tensor1d([1, 2, 3], 'int32'), tf.tensor1d([2, 0, 2], 'int32')];
    const sums = tf.unsortedSegmentSum(x, ids, 3);
    expect(sums.dtype).to.equal('int32');
    expect(await sums.data()).to.deep.equal(new Int32Array([2, 0, 4]));
    tf.dispose([x, ids, sums]);
  });

  it('is installed once, however often it is asked for, and taken back', async () => {
    const stock = tf.getKernel(tf.UnsortedSegmentSum, 'cpu');
    await installKernels();
    const own = tf.getKernel(tf.UnsortedSegmentSum, 'cpu');
    expect(own).not.to.equal(stock);
    await installKernels();
    expect(tf.getKernel(tf.UnsortedSegmentSum, 'cpu')).to.equal(own);
    uninstallKernels();
    uninstallKernels();
    expect(tf.getKernel(tf.UnsortedSegmentSum, 'cpu')).to.equal(stock);
  });
});
