import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {blockScores} from '../../../src/owlore/scores/score_kinds';
import {blockInfluenceScores, outlierScores, relativeMagnitudeScores} from '../../../src/index';
import {scoreKinds, scoreNames} from '../../../src/owlore/scores/score_kinds';
import {quoted} from '../../support/quoted';
import {rejection} from '../../support/rejection';

describe('blockScores', () => {
  let model: tfl.LayersModel;
  let x: tf.Tensor;
  before(() => {
    const dense = (name: string) =>
      tfl.layers.dense({
        name,
        units: 4,
        kernelInitializer: tfl.initializers.randomNormal({seed: 1}),
      });
    model = tfl.sequential({
      layers: [tfl.layers.inputLayer({inputShape: [4]}), ...['a', 'b', 'head'].map(dense)],
    });
    x = tf.randomNormal([8, 4], 0, 1, 'float32', 2);
  });
  after(() => {
    model.dispose();
    x.dispose();
  });

  it('computes each score, with its options, as its own function does', async () => {
    const own = {
      outlier: await outlierScores(model, [x], {tau: 2, granularity: 'layer'}),
      relativeMagnitude: await relativeMagnitudeScores(model, {measure: 'frobenius'}),
      blockInfluence: await blockInfluenceScores(model, [x]),
    };
    const byName = {
      outlier: await blockScores('outlier', model, [x], {tau: 2, granularity: 'layer'}),
      relativeMagnitude: await blockScores('relativeMagnitude', model, [], {measure: 'frobenius'}),
      blockInfluence: await blockScores('blockInfluence', model, [x]),
    };
    expect(byName).to.deep.equal(own);
    expect(Object.keys(own)).to.deep.equal(scoreNames);
  });

  it('each result names its score, and each score its options', async () => {
    for (const kind of scoreNames) {
      const {options, needsData} = scoreKinds[kind];
      const {kind: named} = await blockScores(kind, model, needsData ? [x] : [], {});
      expect(named).to.equal(kind);
      const {message} = await rejection(blockScores(kind, model, [x], {unknown: 1} as object));
      expect(message).to.include(`Known options: ${[...options, 'blocks'].join(', ')}`);
    }
  });

  it('a score that does not exist is an error', () => {
    expect(() => blockScores('ows' as 'outlier', model, [x])).to.throw(
      `blockScores: kind must be one of ${quoted(scoreNames)}; got 'ows'`,
    );
  });
});
