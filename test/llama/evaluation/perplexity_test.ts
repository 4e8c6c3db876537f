import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {perplexity, type TextBatch} from '../../../src/llama';
import {describeBackends} from '../../support/backends';
import {readJson, readTensors, toTensor} from '../../support/fixtures';
import {rejection} from '../../support/rejection';
import {loadCheckpoint} from '../checkpoints';

interface Case {
  cases: Record<'plain' | 'padded', {loss: number; labelTokens: number}>;
}

const {cases} = readJson<Case>('llama/llama2');
const fixture = readTensors('llama/llama2');

/** Batches of the fixture with labels moved to where they are predicted. */
function batchOf(ids: string, labels: string): TextBatch {
  return tf.tidy(() => {
    const given = toTensor(fixture.get(labels)!) as tf.Tensor2D;
    const [rows, length] = given.shape;
    const shifted = tf.concat(
      [tf.slice(given, [0, 1], [rows, length - 1]), tf.fill([rows, 1], -100, 'int32')],
      1,
    );
    return {
      xs: toTensor(fixture.get(ids)!) as tf.Tensor2D,
      ys: tf.cast(tf.reshape<tf.Rank.R3>(shifted, [rows, length, 1]), 'int32'),
    };
  });
}

describeBackends('perplexity', () => {
  it('is e to the mean loss over all counted tokens of all batches', async () => {
    const model = loadCheckpoint('llama2');
    const before = tf.memory().numTensors;
    const {plain, padded} = cases;
    const result = await perplexity(model, [
      batchOf('ids', 'ids'),
      batchOf('padded.ids', 'padded.labels'),
    ]);
    const tokens = plain.labelTokens + padded.labelTokens;
    const loss = (plain.loss * plain.labelTokens + padded.loss * padded.labelTokens) / tokens;
    expect(result.tokens).to.equal(tokens);
    // the fixture's tolerance of a loss, 3e-6 + 1e-5 of it
    expect(result.loss).to.be.closeTo(loss, 3e-6 + 1e-5 * loss);
    expect(result.perplexity).to.be.closeTo(Math.exp(loss), Math.exp(loss) * 1e-4);
    expect(tf.memory().numTensors).to.equal(before);
    expect((await rejection(perplexity(model, []))).message).to.equal(
      'perplexity: the batches have no label that is counted',
    );
    model.dispose();
  });

  it('takes a batch of a large vocabulary row by row', async () => {
    const model = loadCheckpoint('llama2');
    const batch = (): TextBatch => {
      const {xs, ys} = batchOf('padded.ids', 'padded.labels');
      // and a row in which nothing counts
      const batch = tf.tidy(() => ({
        xs: tf.concat([xs, tf.slice(xs, 0, 1)]),
        ys: tf.concat([ys, tf.fill<tf.Rank.R3>([1, ys.shape[1], 1], -100, 'int32')]),
      }));
      tf.dispose([xs, ys]);
      return batch;
    };
    const expected = await perplexity(model, [batch()]);
    const sizes: number[] = [];
    // not one of createLlama; only these two are looked at
    const large = {
      outputs: [{shape: [null, null, 2 ** 26]}],
      predictOnBatch: (xs: tf.Tensor2D) => {
        sizes.push(xs.shape[0]);
        return model.predictOnBatch(xs);
      },
    } as unknown as tfl.LayersModel;
    const before = tf.memory().numTensors;
    const whole = batch();
    const rows = whole.xs.shape[0];
    const result = await perplexity(large, [whole]);
    expect(tf.memory().numTensors).to.equal(before);
    expect(sizes).to.deep.equal(Array(rows).fill(1));
    expect(result.tokens).to.equal(expected.tokens);
    expect(result.loss).to.be.closeTo(expected.loss, 1e-5);
    model.dispose();
  });
});
