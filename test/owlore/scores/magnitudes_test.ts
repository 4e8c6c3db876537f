import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {installKernelsForBackend} from '../../../src/kernels/install_for_backend';
import {PackedWeight} from '../../../src/model/packed_weight';
import {magnitudesOf} from '../../../src/owlore/scores/magnitudes';
import {describeBackends} from '../../support/backends';
import {describeOnCpuWithKernels} from './magnitude_kernels';

function itSumsAndCounts(): void {
  before(installKernelsForBackend);

  for (const isPacked of [false, true]) {
    it(`of a weight ${isPacked ? 'that is packed ' : ''}are summed and counted, and leave no tensor`, async () => {
      const layer = tfl.layers.dense({units: 3, inputShape: [2], useBias: false});
      const model = tfl.sequential({layers: [layer]});
      const value = tf.tensor2d([1, -2, 3, 0, -5, 6], [2, 3]);
      layer.setWeights([value]);
      value.dispose();
      const [weight] = layer.weights;
      if (isPacked) new PackedWeight(weight!, null).pack(1);
      const before = tf.memory().numTensors;
      // 2 for the first row, 1 for the second: magnitudes 2, 4, 6, 0, 5, 6
      const norm = tf.tensor2d([2, 2, 2, 1, 1, 1], [2, 3]);
      const magnitudes = await magnitudesOf(weight!, norm);
      expect(magnitudes.size).to.equal(6);
      expect(await magnitudes.sum()).to.equal(23);
      expect(await magnitudes.countAbove([4, 0, -1, 5.5, 6])).to.deep.equal([3, 5, 6, 2, 0]);
      magnitudes.dispose();
      expect(norm.isDisposed).to.equal(true);
      expect(tf.memory().numTensors).to.equal(before);
      model.dispose();
    });
  }
}

describeBackends('magnitudes', itSumsAndCounts);
describeOnCpuWithKernels('magnitudes', itSumsAndCounts);
