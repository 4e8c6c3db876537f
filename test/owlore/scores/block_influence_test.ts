import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {blockInfluenceScores} from '../../../src/owlore/scores/block_influence';
import {describeBackends} from '../../support/backends';
import {toTensor} from '../../support/fixtures';
import {buildMlp, readMlp} from './mlp_fixture';

describeBackends('blockInfluenceScores', () => {
  for (const name of ['mlp_mean', 'mlp_flatten']) {
    it(`agrees with ${name}, in one batch and in several`, async () => {
      const fixture = readMlp(name);
      const model = buildMlp(fixture, {nested: true});
      const ids = toTensor(fixture.tensors.get('ids')!);
      const parts = tf.split(ids, [10, 22]);
      const before = tf.memory().numTensors;
      const {rtol, atol, rms} = fixture.tolerance.blockInfluence;
      for (const batches of [[ids], parts]) {
        const {kind, blocks, scores} = await blockInfluenceScores(model, batches);
        expect(kind).to.equal('blockInfluence');
        expect(blocks).to.deep.equal(['block0', 'block1', 'block2', 'block3']);
        const differences = fixture.blockInfluence.map((value, i) => scores[i]! - value);
        differences.forEach((difference, i) => {
          const allowed = atol + rtol * fixture.blockInfluence[i]!;
          expect(Math.abs(difference)).to.be.at.most(allowed);
        });
        expect(Math.hypot(...differences) / 2).to.be.at.most(rms);
      }
      expect(tf.memory().numTensors).to.equal(before);
      tf.dispose([ids, parts]);
      model.dispose();
    });
  }
});

describe('blockInfluenceScores', () => {
  it('is never negative: for blocks that only scale, it is 0 up to rounding', async () => {
    const kernelInitializer = tfl.initializers.identity({gain: 0.7});
    const model = tfl.sequential({
      layers: Array.from({length: 20}, (_, i) =>
        tfl.layers.dense({units: 5, name: `b${i}`, kernelInitializer, inputShape: [5]}),
      ),
    });
    const x = tf.randomNormal([1, 5], 0, 1, 'float32', 3);
    const {scores} = await blockInfluenceScores(model, [x], {blocks: /^b/});
    // a float32 just below 1, or above
    for (const score of scores) expect(score).to.be.within(0, 4 * 2 ** -24);
    x.dispose();
    model.dispose();
  });

  it('is the same at any scale of what passes through', async () => {
    const kernelInitializer = tfl.initializers.glorotNormal({seed: 2});
    const block = tfl.layers.dense({units: 4, name: 'scaled', kernelInitializer, inputShape: [4]});
    const model = tfl.sequential({layers: [block]});
    const influences: number[] = [];
    for (const scale of [1, 1e-12, 1e12]) {
      const x = tf.tensor2d(
        [1, -2, 3, 4].map((value) => value * scale),
        [1, 4],
      );
      const {scores} = await blockInfluenceScores(model, [x], {blocks: ['scaled']});
      influences.push(scores[0]!);
      x.dispose();
    }
    // rounding of the scale, the product, the sums of four and the cosine
    for (const influence of influences)
      expect(influence).to.be.closeTo(influences[0]!, 16 * 2 ** -24);
    expect(influences[0]).to.be.greaterThan(0.01);
    model.dispose();
  });

  const dense = (units: number, name: string) =>
    tfl.layers.dense({units, name, useBias: false, kernelInitializer: 'ones'});

  async function messageOf(promise: Promise<unknown>): Promise<string> {
    return promise.then(
      () => 'no error',
      (error: unknown) => (error as Error).message,
    );
  }

  it('leaves out the rows that the mask does', async () => {
    const model = tfl.sequential({
      layers: [tfl.layers.inputLayer({inputShape: [2, 2]}), dense(2, 'sum')],
    });
    // [1, 1] keeps its direction in [2, 2]; [1, -1] becomes 0, which counts as no likeness.
    const inputs = tf.tensor3d([[[1, 1], [1, -1]]]); // prettier-ignore
    const mask = tf.tensor2d([[1, 0]]);
    const blocks = ['sum'];
    const all = await blockInfluenceScores(model, [inputs], {blocks});
    expect(all.scores[0]).to.be.closeTo(0.5, 1e-6);
    const valid = await blockInfluenceScores(model, [{inputs, mask}], {blocks});
    expect(valid.scores[0]).to.be.closeTo(0, 1e-6);
    const nothing = tf.zerosLike(mask);
    const failed = blockInfluenceScores(model, [{inputs, mask: nothing}], {blocks});
    expect(await messageOf(failed)).to.include(`block 'sum' saw no rows`);
    tf.dispose([inputs, mask, nothing]);
    model.dispose();
  });

  it('says which block no batch reached', async () => {
    /** A layer that shows another one as a part of it, and leaves it out. */
    class Skipping extends tfl.layers.Layer {
      readonly layers = [dense(2, 'left_out')];

      static get className(): string {
        return 'Skipping';
      }

      override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
        return [inputs].flat()[0]!.clone();
      }
    }
    const skipping = new Skipping({});
    skipping.layers[0]!.build([null, 2]);
    const model = tfl.sequential({
      layers: [tfl.layers.inputLayer({inputShape: [2]}), skipping, dense(2, 'used')],
    });
    const x = tf.ones([1, 2]);
    const of = (block: string) => blockInfluenceScores(model, [x], {blocks: [block]});
    expect(await messageOf(of('left_out'))).to.equal(
      `blockInfluenceScores: block 'left_out' saw no rows in the forward pass; leave it out of blocks`,
    );
    expect((await of('used')).scores).to.have.length(1);
    tf.dispose([x, ...skipping.layers[0]!.weights.map((weight) => weight.read())]);
    model.dispose();
  });

  it('names the first block that has numbers that are not finite', async () => {
    const model = tfl.sequential({
      layers: [
        tfl.layers.inputLayer({inputShape: [2]}),
        ...['first', 'second', 'third'].map((name) => dense(2, name)),
      ],
    });
    const x = tf.ones([1, 2]);
    const kernel = model.getLayer('second').weights[0]!;
    const spoiled = tf.fill(kernel.shape as number[], NaN);
    kernel.write(spoiled);
    const before = tf.memory().numTensors;
    expect(await messageOf(blockInfluenceScores(model, [x]))).to.match(
      /^blockInfluenceScores: what goes into block 'second' or comes out of it is not finite: the model has weights that are not/,
    );
    expect(tf.memory().numTensors).to.equal(before);
    tf.dispose([x, spoiled]);
    model.dispose();
  });

  it('says what it cannot score, and gives the layers their call back', async () => {
    const model = tfl.sequential({
      layers: [tfl.layers.inputLayer({inputShape: [2]}), dense(2, 'same'), dense(3, 'wider')],
    });
    const x = tf.ones([1, 2]);
    const before = tf.memory().numTensors;
    const of = (blocks: unknown) => messageOf(blockInfluenceScores(model, [x], {blocks} as object));
    expect(await of(['same', 'wider'])).to.equal(
      `blockInfluenceScores: block 'wider' turns [1, 2] into [1, 3], and block influence needs ` +
        'equal shapes; use another score',
    );
    const both = (layer: tfl.layers.Layer) => (layer.weights.length > 0 ? 'both' : null);
    expect(await of(both)).to.include(`block 'both' has 2 layers`);
    expect(await messageOf(blockInfluenceScores(model, [], {blocks: ['same']}))).to.include(
      'empty',
    );
    expect(await messageOf(blockInfluenceScores(model, [x], {block: 'auto'} as object))).to.include(
      `did you mean 'blocks'`,
    );
    for (const layer of model.layers) expect(Object.hasOwn(layer, 'call')).to.equal(false);
    expect(tf.memory().numTensors).to.equal(before);
    x.dispose();
    model.dispose();
  });
});
