import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {installKernels, uninstallKernels} from '../../src/kernels/cpu';
import {SampledModel} from '../../src/layer_sampling/sampled_model';
import {resolveLayerSamplingOptions} from '../../src/layer_sampling_options';
import {keepPacked, packedWeight, packHalves} from '../../src/packed/packed_weight';
import {variableOf, weightsToTrain} from '../../src/tfjs/models';

describe('SampledModel, with weights that are packed while they are off', () => {
  before(installKernels);
  after(uninstallKernels);

  /** Which of the numbers of two kernels, all of them 1/3, are rounded up when `turnOff` turns their blocks off. */
  async function roundedUp(
    seed: number,
    turnOff: (sampled: SampledModel) => void,
  ): Promise<string[]> {
    const input = tfl.input({shape: [8]});
    let output = input;
    for (const name of ['a', 'b', 'head']) {
      const layer = tfl.layers.dense({name, units: 8, useBias: false});
      output = layer.apply(output) as tfl.SymbolicTensor;
    }
    const model = tfl.model({inputs: input, outputs: output});
    const kernels = ['a', 'b'].map((name) => model.getLayer(name).weights[0]!);
    for (const kernel of kernels) {
      keepPacked(kernel, packHalves(new Uint16Array(variableOf(kernel).size)));
    }
    const options = resolveLayerSamplingOptions({blocks: ['a', 'b'], gamma: 1, seed});
    const training = {model, optimizer: tf.train.sgd(0.1)};
    const sampled = new SampledModel(training, weightsToTrain(model), options, 0);
    sampled.changeTo(['a', 'b'], 0);
    tf.tidy(() => {
      for (const kernel of kernels) variableOf(kernel).assign(tf.fill([8, 8], 1 / 3));
    });
    turnOff(sampled);
    const patterns = kernels.map((kernel) => {
      expect(packedWeight(kernel)!.isPacked).to.equal(true);
      const values = tf.tidy(() => kernel.read().dataSync<'float32'>());
      return Array.from(values, (value) => (value > 1 / 3 ? '1' : '0')).join('');
    });
    model.dispose();
    return patterns;
  }

  it('rounds each by the seed and the period, as a training does that goes on in that period', async () => {
    const period3 = await roundedUp(1, (sampled) => sampled.changeTo([], 3));
    expect(await roundedUp(1, (sampled) => sampled.keepOn([], 3))).to.deep.equal(period3);
    const all = [
      ...period3,
      ...(await roundedUp(1, (sampled) => sampled.changeTo([], 4))),
      ...(await roundedUp(2, (sampled) => sampled.changeTo([], 3))),
    ];
    expect(new Set(all).size, 'each otherwise').to.equal(all.length);
    for (const pattern of all) expect(pattern).to.include('0').and.include('1');
  });
});
