import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {GPTLMHeadModel} from 'gpt-tfjs/src/model.js';
import {autoOutliers, autoTaus, outlierScores} from '../../../src/owlore/scores/outlier';
import {describeBackends} from '../../support/backends';
import {toTensor} from '../../support/fixtures';
import {rejection} from '../../support/rejection';
import {describeOnCpuWithKernels} from './magnitude_kernels';
import {buildMlp, readMlp} from './mlp_fixture';

describeBackends('outlierScores', (backend) => {
  for (const name of ['mlp_mean', 'mlp_flatten']) {
    const fixture = readMlp(name);

    it(`counts the outliers of ${name}, in one batch and in several`, async () => {
      const model = buildMlp(fixture);
      const ids = toTensor(fixture.tensors.get('ids')!);
      const parts = tf.split(ids, [10, 22]);
      const before = tf.memory().numTensors;
      for (const granularity of ['block', 'layer'] as const) {
        const batches = granularity === 'block' ? [ids] : parts;
        for (const [tau, expected] of Object.entries(fixture.granularity[granularity])) {
          // A pass takes half a second on a software driver of webgpu.
          if (backend === 'webgpu' && !['3', '13'].includes(tau)) continue;
          const result = await outlierScores(model, batches, {tau: Number(tau), granularity});
          expect(result).to.deep.equal({
            kind: 'outlier',
            tau: Number(tau),
            granularity,
            blocks: ['block0', 'block1', 'block2', 'block3'],
            scores: expected.ratios,
            counts: expected.counts,
            sizes: fixture.numel,
          });
        }
      }
      expect(tf.memory().numTensors).to.equal(before);
      tf.dispose([ids, parts]);
      model.dispose();
    });
  }
});

describeOnCpuWithKernels('outlierScores', () => {
  it('are those without, and leave no tensor', async () => {
    const fixture = readMlp('mlp_mean');
    const model = buildMlp(fixture);
    const ids = toTensor(fixture.tensors.get('ids')!);
    const {numTensors} = tf.memory();
    const {counts} = await outlierScores(model, [ids], {tau: 3});
    expect(counts).to.deep.equal(fixture.granularity.block['3']!.counts);
    expect(tf.memory().numTensors).to.equal(numTensors);
    ids.dispose();
    model.dispose();
  });
});

describe('outlierScores', () => {
  const fixture = readMlp('mlp_mean');
  let model: tfl.LayersModel;
  let ids: tf.Tensor;

  before(() => {
    model = buildMlp(fixture);
    ids = toTensor(fixture.tensors.get('ids')!);
  });

  after(() => {
    model.dispose();
    ids.dispose();
  });

  it("defaults to tau 'auto' and to one mean a block", async () => {
    const result = await outlierScores(model, [ids]);
    const options = {tau: 'auto', granularity: 'block'} as const;
    const left = {tau: undefined, granularity: undefined, blocks: undefined};
    expect(result).to.deep.equal(await outlierScores(model, [ids], left));
    expect(result).to.deep.equal(await outlierScores(model, [ids], options));
    expect(result.counts).to.deep.equal(fixture.granularity.block[result.tau]!.counts);
    expect(JSON.parse(JSON.stringify(result))).to.deep.equal(result);
  });

  it(`takes with tau 'auto' the largest tau with ${autoOutliers} outliers in every block`, async () => {
    const {tau, counts} = await outlierScores(model, [ids], {tau: 'auto', granularity: 'layer'});
    expect(tau).to.equal(3);
    expect(counts).to.deep.equal(fixture.granularity.layer['3']!.counts);
    const above = await outlierScores(model, [ids], {tau: 4, granularity: 'layer'});
    expect(Math.min(...above.counts)).to.be.below(autoOutliers);
  });

  it(`takes with tau 'auto' the smallest tau where no tau leaves enough`, async () => {
    const blocks = ['head', 'block0.fc1'];
    const {tau} = await outlierScores(model, [ids], {tau: 'auto', blocks});
    expect(tau).to.equal(Math.min(...autoTaus));
  });

  it(`takes with tau 'auto' the largest tau of all where ${autoOutliers} outliers are left, not one less`, async () => {
    const units = 1050; // so that a weight of 1 among zeros is 21 times the mean
    const layer = tfl.layers.dense({units, useBias: false, inputShape: [1], name: 'only'});
    const one = tfl.sequential({layers: [layer]});
    const x = tf.ones([1, 1]);
    for (const [count, expected] of [
      [autoOutliers, Math.max(...autoTaus)],
      [autoOutliers - 1, Math.min(...autoTaus)],
    ] as const) {
      tf.tidy(() => layer.setWeights([tf.pad(tf.ones([1, count]), [[0, 0], [0, units - count]])])); // prettier-ignore
      const {tau, counts} = await outlierScores(one, [x], {blocks: ['only']});
      expect([tau, counts]).to.deep.equal([expected, [count]]);
    }
    one.dispose();
    x.dispose();
  });

  it('sees the blocks of gpt-tfjs, whose attention multiplies with tiled kernels', async () => {
    const config = {name: 'gpt', nLayer: 2, nHead: 2, nEmbd: 8, vocabSize: 11, blockSize: 6};
    const {model} = GPTLMHeadModel({...config, dropout: 0, embdDrop: 0, residDrop: 0});
    const batches = [2, 3].map((rows) => tf.zeros([rows, 6], 'int32'));
    const {blocks, sizes} = await outlierScores(model, batches, {tau: 1});
    expect(blocks).to.deep.equal(['gpt/h/0', 'gpt/h/1']);
    // c_attn, c_proj, c_fc, c_proj: 3 + 1 + 4 + 4 times 8 × 8.
    expect(sizes).to.deep.equal([768, 768]);
    tf.dispose(batches);
    model.dispose();
  });

  it('says that the model comes first', async () => {
    let message = 'nothing was thrown';
    await outlierScores([tf.ones([2])] as unknown as tfl.LayersModel, []).catch(
      (error: unknown) => void ({message} = error as Error),
    );
    expect(message).to.match(/^outlierScores: model must be a tf.LayersModel; got /);
  });

  it('says what is wrong and the way out', async () => {
    const messageOf = (options: object, batches = [ids]) =>
      outlierScores(model, batches, options).then(
        () => 'no error',
        (error: unknown) => (error as Error).message,
      );
    expect(await messageOf({tau: 0})).to.equal(
      `outlierScores: tau, if not 'auto', must be a number > 0; got 0`,
    );
    expect(await messageOf({granularity: 'row'})).to.include(`one of 'block', 'layer'; got 'row'`);
    expect(await messageOf({taus: 3})).to.include(`did you mean 'tau'`);
    expect(await messageOf({}, [])).to.include('outlierScores: batches is empty');
    expect(await messageOf({blocks: ['embed']})).to.equal(
      `outlierScores: no weight of block 'embed' was multiplied with an input in the forward pass; ` +
        'leave it out of blocks',
    );
  });

  it('names the block whose inputs are not finite, or too large', async () => {
    const before = tf.memory().numTensors;
    const small = tfl.sequential({
      layers: [
        tfl.layers.dense({units: 2, inputShape: [2], name: 'body'}),
        tfl.layers.dense({units: 1, name: 'head'}),
      ],
    });
    // the square of 1e30 is infinite as float32, so that no entry would be above any multiple of the mean
    for (const value of [NaN, Infinity, 1e30]) {
      const x = tf.tensor2d([[1, value]]);
      const {message} = await rejection(outlierScores(small, [x]));
      expect(message, `${value}`).to.include(`weights of block 'body' or their inputs are NaN or`);
      x.dispose();
    }
    small.dispose();
    expect(tf.memory().numTensors).to.equal(before);
  });

  it('leaves no hook and no tensor when a pass fails', async () => {
    const wrong = tf.zeros([2, 3], 'int32');
    const before = tf.memory().numTensors;
    const failed = await outlierScores(model, [ids, wrong]).catch((error: unknown) => error);
    expect(failed).to.be.an('error');
    expect(Object.hasOwn(tf.engine(), 'runKernel')).to.equal(false);
    expect(tf.memory().numTensors).to.equal(before);
    wrong.dispose();
  });
});
