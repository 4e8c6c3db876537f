import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {relativeMagnitudeScores} from '../../../src/owlore/scores/relative_magnitude';
import {describeBackends} from '../../support/backends';
import {rejection} from '../../support/rejection';
import {buildMlp, readMlp} from './mlp_fixture';

const fixture = readMlp('mlp_mean');
const fields = {meanAbs: 'meanAbs', sumAbs: 'sumAbs', frobenius: 'sumFro'} as const;

describeBackends('relativeMagnitudeScores', () => {
  for (const measure of ['meanAbs', 'sumAbs', 'frobenius'] as const) {
    it(`measures by ${measure}`, async () => {
      const model = buildMlp(fixture);
      const before = tf.memory().numTensors;
      const result = await relativeMagnitudeScores(model, {measure});
      expect(tf.memory().numTensors).to.equal(before);
      expect(result.kind).to.equal('relativeMagnitude');
      expect(result.measure).to.equal(measure);
      expect(result.blocks).to.deep.equal(['block0', 'block1', 'block2', 'block3']);
      fixture.relativeMagnitude.forEach((expected, i) => {
        const value = expected[fields[measure]];
        // Sums of 1728 numbers in float32.
        expect(result.scores[i]).to.be.closeTo(value, 1e-5 * value);
      });
      model.dispose();
    });
  }

  for (const value of [NaN, Infinity, -Infinity]) {
    it(`names a block that has a weight of ${value}`, async () => {
      const model = buildMlp(fixture);
      const before = tf.memory().numTensors;
      const layer = model.layers.find(({name}) => name.startsWith('block1'))!;
      const kernel = layer.weights.find(({shape}) => shape.length === 2)!;
      const spoiled = tf.fill(kernel.shape as number[], value);
      kernel.write(spoiled);
      spoiled.dispose();
      for (const measure of ['meanAbs', 'sumAbs', 'frobenius'] as const) {
        const {message} = await rejection(relativeMagnitudeScores(model, {measure}));
        expect(message).to.match(
          /^relativeMagnitudeScores: the magnitude of block 'block1' is (NaN|Infinity): it has weights that are not finite/,
        );
      }
      expect(tf.memory().numTensors).to.equal(before);
      model.dispose();
    });
  }

  it('adds up a block of more matrices than WebGPU binds buffers', async () => {
    const kernelInitializer = tfl.initializers.constant({value: -0.5});
    const layers = Array.from({length: 12}, (_, i) =>
      tfl.layers.dense({units: 3, kernelInitializer, ...(i === 0 && {inputShape: [3]})}),
    );
    const model = tfl.sequential({layers});
    const options = {blocks: () => 'all', measure: 'sumAbs'} as const;
    const {scores} = await relativeMagnitudeScores(model, options);
    expect(scores).to.deep.equal([12 * 9 * 0.5]);
    model.dispose();
  });
});

describe('relativeMagnitudeScores', () => {
  it('says what is wrong', async () => {
    const model = buildMlp(fixture);
    const messageOf = (options: object) =>
      relativeMagnitudeScores(model, options).then(
        () => 'no error',
        (error: unknown) => (error as Error).message,
      );
    expect(await messageOf({measure: 'max'})).to.include(`'meanAbs', 'sumAbs', 'frobenius'`);
    expect(await messageOf({measures: 1})).to.include(`did you mean 'measure'`);
    expect((await relativeMagnitudeScores(model)).measure).to.equal('meanAbs');
    const norm = tfl.layers.layerNormalization({name: 'norm', inputShape: [2]});
    const without = tfl.sequential({layers: [norm]});
    const failed = relativeMagnitudeScores(without, {blocks: ['norm']});
    expect(await failed.catch((error: unknown) => (error as Error).message)).to.include(
      `block 'norm' has no weight with two or more axes`,
    );
    model.dispose();
    without.dispose();
  });
});
