import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {logLikelihoods, type Continuation} from '../../../src/llama';
import {describeBackends} from '../../support/backends';
import {entry, readTensors} from '../../support/fixtures';
import {rejection} from '../../support/rejection';
import {loadCheckpoint} from '../checkpoints';

const VOCAB = 96;
const fixture = readTensors('llama/llama2');
const rows = [0, 1].map((row) => ({
  ids: [...entry(fixture.get('ids')!, row)],
  logits: entry(fixture.get('logits')!, row),
}));

/** ln of the probability of a row's token `position` under the fixture's logits, in double precision. */
function logProbability({ids, logits}: (typeof rows)[number], position: number): number {
  const at = (position - 1) * VOCAB;
  const before = Array.from(logits.subarray(at, at + VOCAB));
  const sum = before.reduce((total, x) => total + Math.exp(x), 0);
  return before[ids[position]!]! - Math.log(sum);
}

describeBackends('logLikelihoods', () => {
  let model: tfl.LayersModel;
  before(() => {
    model = loadCheckpoint('llama2');
  });
  after(() => {
    model.dispose();
  });

  it('are the sums of the log-probabilities of the reference, whatever else is in the batch', async () => {
    const parts = [
      {row: 0, from: 12, to: 24},
      {row: 1, from: 1, to: 3},
      {row: 0, from: 5, to: 6},
      {row: 1, from: 20, to: 24},
      {row: 1, from: 9, to: 17},
    ];
    const requests: Continuation[] = parts.map(({row, from, to}) => ({
      context: rows[row]!.ids.slice(0, from),
      continuation: rows[row]!.ids.slice(from, to),
    }));
    const before = tf.memory().numTensors;
    for (const batchSize of [1, 2, 8]) {
      const found = await logLikelihoods(model, requests, {batchSize});
      parts.forEach(({row, from, to}, i) => {
        let expected = 0;
        for (let at = from; at < to; at++) expected += logProbability(rows[row]!, at);
        // the logits may differ by 3e-5 (the fixture's tolerance) in each token
        expect(found[i]!.logLikelihood).to.be.closeTo(expected, 6e-5 * (to - from));
      });
    }
    expect(tf.memory().numTensors).to.equal(before);
  });

  it('of requests that differ in their last token take one row', async () => {
    const {ids} = rows[1]!;
    const context = ids.slice(0, 10);
    const requests: Continuation[] = [
      {context, continuation: [ids[10]!]},
      {context: ids.slice(0, 8), continuation: ids.slice(8, 11)},
      {context, continuation: [ids[10]!]},
    ];
    let seen = 0;
    const embedding = model.getLayer('model.embed_tokens');
    const {call} = embedding;
    embedding.call = (x, kwargs) => {
      seen += [x].flat()[0]!.shape[0];
      return call.call(embedding, x, kwargs);
    };
    const [one, three, again] = await logLikelihoods(model, requests);
    embedding.call = call;
    expect(seen).to.equal(1);
    expect(one!.logLikelihood).to.be.closeTo(logProbability(rows[1]!, 10), 6e-5);
    expect(again).to.deep.equal(one);
    const expected = [8, 9, 10].reduce((sum, at) => sum + logProbability(rows[1]!, at), 0);
    expect(three!.logLikelihood).to.be.closeTo(expected, 1.8e-4);
  });

  it('say whether the model would write the continuation itself', async () => {
    const {logits, ids} = rows[0]!;
    const before = Array.from(logits.subarray(9 * VOCAB, 10 * VOCAB));
    const best = before.indexOf(Math.max(...before));
    const context = ids.slice(0, 10);
    const found = await logLikelihoods(model, [
      {context, continuation: [best]},
      {context, continuation: [(best + 1) % VOCAB]},
      {context, continuation: [best, 0, 1]},
    ]);
    expect(found.map(({isGreedy}) => isGreedy)).to.deep.equal([true, false, false]);
  });
});

describe('logLikelihoods of what does not fit', () => {
  let model: tfl.LayersModel;
  before(() => {
    model = loadCheckpoint('llama2');
  });
  after(() => {
    model.dispose();
  });

  it('leave out the start of what is longer than the positions', async () => {
    const limit = 128; // of the checkpoint
    const long = Array.from({length: limit + 40}, (_, i) => (7 * i) % VOCAB);
    const [cut, short] = await logLikelihoods(model, [
      {context: long, continuation: [5, 6]},
      {context: long.slice(-limit + 1), continuation: [5, 6]},
    ]);
    expect(cut!.logLikelihood).to.be.closeTo(short!.logLikelihood, 1e-5);
  });

  it('name what is wrong', async () => {
    const messageOf = async (request: Continuation) =>
      (await rejection(logLikelihoods(model, [request]))).message;
    expect(await messageOf({context: [], continuation: [1]})).to.equal(
      'logLikelihoods: requests[0]: context and continuation must have at least one token each',
    );
    expect(await messageOf({context: [1], continuation: [VOCAB]})).to.equal(
      "logLikelihoods: requests[0]: token 96 is outside the model's vocabulary of 96",
    );
    const long = Array.from({length: 200}, () => 1);
    expect(await messageOf({context: [1], continuation: long})).to.include(
      "the continuation has 200 tokens, more than the model's maxPositionEmbeddings",
    );
    const other = tfl.sequential({layers: [tfl.layers.dense({units: 1, inputShape: [1]})]});
    expect((await rejection(logLikelihoods(other, []))).message).to.equal(
      'logLikelihoods: the model must be one of createLlama',
    );
    other.dispose();
  });

  it('name the request for which the logits are not finite', async () => {
    const requests = [1, 2, 3].map((id) => ({context: [id, 4], continuation: [5, 6]}));
    const layer = model.getLayer('model.embed_tokens');
    const good = tf.clone(layer.getWeights()[0]!);
    const before = tf.memory().numTensors;
    for (const value of [NaN, Infinity]) {
      const spoiled = tf.tidy(() => {
        const isTwo = tf.reshape(tf.equal(tf.range(0, VOCAB), 2), [-1, 1]);
        return tf.where(isTwo, value, good);
      });
      layer.setWeights([spoiled]);
      spoiled.dispose();
      const {message} = await rejection(logLikelihoods(model, requests));
      expect(message).to.equal(
        "logLikelihoods: requests[1]: the model's logits are not finite; are its weights?",
      );
      expect(tf.memory().numTensors).to.equal(before);
    }
    layer.setWeights([good]);
    good.dispose();
    expect(await logLikelihoods(model, requests)).to.have.length(3);
  });
});
