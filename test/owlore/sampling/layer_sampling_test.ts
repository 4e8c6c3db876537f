import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {installKernels, uninstallKernels} from '../../../src/kernels/cpu';
import {LayerSamplingCallback, type LayerSamplingOptions} from '../../../src/index';
import {LayerSampling} from '../../../src/owlore/sampling/layer_sampling';
import {resolveLayerSamplingOptions} from '../../../src/owlore/sampling/options';
import {keepPacked, packedWeight, packHalves} from '../../../src/model/packed_weight';
import {variableOf, weightsToTrain} from '../../../src/tfjs/models';

describe('LayerSampling, with weights that are packed while they are off', () => {
  before(installKernels);
  after(uninstallKernels);

  /** Two blocks and a head. The kernels of the blocks can be packed. */
  function createModel(): {model: tfl.LayersModel; kernels: tfl.LayerVariable[]} {
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
    return {model, kernels};
  }

  function fill(kernel: tfl.LayerVariable): void {
    tf.tidy(() => void kernel.write(tf.fill([8, 8], 1 / 3)));
  }

  /** Which of the numbers of a packed kernel, all of them 1/3 before, were rounded up. */
  function patternOf(kernel: tfl.LayerVariable): string {
    expect(packedWeight(kernel)!.isPacked).to.equal(true);
    const values = tf.tidy(() => kernel.read().dataSync<'float32'>());
    return Array.from(values, (value) => (value > 1 / 3 ? '1' : '0')).join('');
  }

  /** Those of both kernels when `turnOff` turns their blocks off. */
  function roundedUp(seed: number, turnOff: (sampling: LayerSampling) => void): string[] {
    const {model, kernels} = createModel();
    const options = resolveLayerSamplingOptions({blocks: ['a', 'b'], gamma: 1, seed});
    const training = {model, optimizer: tf.train.sgd(0.1)};
    const history = {interval: 1, periods: []};
    const sampling = new LayerSampling(training, weightsToTrain(model), options, history);
    sampling.changeTo(['a', 'b'], 0);
    kernels.forEach(fill);
    turnOff(sampling);
    const patterns = kernels.map(patternOf);
    model.dispose();
    return patterns;
  }

  it('rounds each by the seed and the period, as a training does that goes on in that period', () => {
    const period3 = roundedUp(1, (sampling) => sampling.changeTo([], 3));
    expect(roundedUp(1, (sampling) => sampling.keepOn([], 3))).to.deep.equal(period3);
    const all = [
      ...period3,
      ...roundedUp(1, (sampling) => sampling.changeTo([], 4)),
      ...roundedUp(2, (sampling) => sampling.changeTo([], 3)),
    ];
    expect(new Set(all).size, 'each otherwise').to.equal(all.length);
    for (const pattern of all) expect(pattern).to.include('0').and.include('1');
  });

  it('is told the period by the callback, in its first step and in those that follow', () => {
    const options = {blocks: ['a', 'b'], probabilities: [1, 0], interval: 2, alwaysOn: false};
    const [second, third, fourth] = [2, 3, 4].map((filledBefore) => {
      const {model, kernels} = createModel();
      const callback = new LayerSamplingCallback(options as LayerSamplingOptions);
      callback.attach(model, tf.train.sgd(0.1));
      for (let step = 1; step <= 4; step++) {
        if (step === filledBefore) fill(kernels[1]!);
        callback.step();
      }
      callback.restore();
      const pattern = patternOf(kernels[1]!);
      model.dispose();
      return pattern;
    });
    expect(fourth).to.equal(third);
    expect(third).not.to.equal(second);
  });
});
