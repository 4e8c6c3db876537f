import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {runCalibration, type CalibrationBatches} from '../../../src/owlore/scores/calibration';

describe('runCalibration', () => {
  let model: tfl.LayersModel;
  const batch = (rows: number) => tf.ones([rows, 2]);

  before(() => {
    model = tfl.sequential({layers: [tfl.layers.dense({units: 1, inputShape: [2]})]});
  });
  after(() => {
    model.dispose();
  });

  async function masksOf(batches: unknown): Promise<Array<tf.Tensor | undefined>> {
    const masks: Array<tf.Tensor | undefined> = [];
    await runCalibration(
      'test',
      model,
      model.layers,
      batches as CalibrationBatches,
      (forward, mask) => {
        forward();
        masks.push(mask);
      },
    );
    return masks;
  }

  it('takes an array and leaves its tensors alone', async () => {
    const mask = tf.ones([2, 1]);
    const inputs = batch(2);
    const before = tf.memory().numTensors;
    const masks = await masksOf([inputs, [inputs], {inputs, mask}, {inputs: [inputs]}]);
    expect(masks).to.deep.equal([undefined, undefined, mask, undefined]);
    expect(tf.memory().numTensors).to.equal(before);
    tf.dispose([inputs, mask]);
  });

  it('takes iterables, async iterables and datasets, and disposes of what they yield', async () => {
    function* generate() {
      yield batch(1);
      yield {inputs: batch(2), mask: tf.ones([2, 1])};
    }
    async function* generateLater() {
      for (const each of generate()) yield await Promise.resolve(each);
    }
    const dataset = {
      iterator: () => {
        const items = generate();
        return Promise.resolve({next: () => Promise.resolve(items.next())});
      },
    };
    const before = tf.memory().numTensors;
    for (const batches of [generate(), generateLater(), dataset]) {
      expect(await masksOf(batches)).to.have.length(2);
      expect(tf.memory().numTensors).to.equal(before);
    }
  });

  it('takes the batches of fitDataset, and tokens after the last label as padding', async () => {
    const tokens = tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3], 'int32');
    // what a prompt has before its answer is no label, and no padding either; token 0 is a label as any other
    const labels = tf.tensor3d([-100, 0, -100, 3, 4, 0], [2, 3, 1], 'int32');
    const [noTokens, noLabels] = [tf.ones([2, 3]), tf.ones([2, 3, 1])];
    const classes = tf.ones([2, 1], 'int32');
    const masks: Array<number[][] | null> = [];
    const batches = [
      {xs: tokens, ys: labels},
      {xs: noTokens, ys: noLabels},
      {xs: noTokens, ys: classes},
      {xs: noTokens, ys: [labels, labels]},
      {xs: [tokens, tokens], ys: labels},
      {xs: noTokens},
    ];
    const {numTensors} = tf.memory();
    const model = tfl.sequential({layers: [tfl.layers.dense({units: 1, inputShape: [3]})]});
    await runCalibration('test', model, model.layers, batches, (_, mask) => {
      masks.push((mask?.arraySync() as number[][] | undefined) ?? null);
    });
    expect(masks).to.deep.equal([
      [
        [1, 1, 0],
        [1, 1, 1],
      ],
      null,
      null,
      null,
      null,
      null,
    ]);
    model.dispose();
    expect(tf.memory().numTensors).to.equal(numTensors);
    tf.dispose([tokens, labels, noTokens, noLabels, classes]);
  });

  it('says what is wrong', async () => {
    const messageOf = (batches: unknown) =>
      masksOf(batches).then(
        () => 'no error',
        (error: unknown) => (error as Error).message,
      );
    const [inputs, mask] = [batch(2), tf.ones([3, 1])];
    expect(await messageOf([])).to.equal(
      'test: batches is empty; it takes at least one batch of calibration data',
    );
    expect(await messageOf(inputs)).to.match(/got a tensor, put it in an array$/);
    for (const [batches, got] of [
      [undefined, 'undefined'],
      [null, 'null'],
      ['x', "'x'"],
      [{length: 1}, '{"length":1}'],
    ] as Array<[unknown, string]>) {
      expect(await messageOf(batches)).to.equal(
        `test: batches must be an array, another iterable or a tf.data dataset; got ${got}`,
      );
    }
    for (const batch of [null, undefined, 1, {xs: 1}, {inputs: {}}, {mask: inputs}, [1]]) {
      expect(await messageOf([batch])).to.include('test: a batch must be a tensor, an array of');
    }
    for (const wrong of [mask, tf.ones([2]), tf.ones([2, 1, 1]), tf.ones([1, 2])]) {
      for (const inputsAlone of [inputs, [inputs]]) {
        expect(await messageOf([{inputs: inputsAlone, mask: wrong}])).to.equal(
          `test: mask must have the shape [batch, seq] = [2, seq]; got [${wrong.shape.join(', ')}]`,
        );
      }
      wrong.dispose();
    }
    expect(await messageOf([{inputs: [], mask: inputs}])).to.include('mask must have the shape');
    inputs.dispose();
  });
});
