import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {causalAttention} from '../../src/llama/causal_attention';
import {describeBackends} from '../support/backends';
import * as composed from './composed';
import {expectKeepsInputs, expectSameOp, peakBytes, randomTensor} from './ops';

const [stack, d] = [2, 4];

/** Queries, keys and values. */
function inputs(group: number, seq: number): tf.Tensor[] {
  const keys = [stack, seq, d];
  return [[stack, group, seq, d], keys, keys].map((shape, i) => randomTensor(shape, i));
}

describeBackends('causalAttention', () => {
  const cases: Array<[title: string, group: number, seq: number, rows?: number]> = [
    ['all positions at a time', 1, 6],
    ['grouped queries', 3, 6],
    ['chunks of positions, the last smaller', 1, 7, 3],
    ['chunks of positions of grouped queries', 2, 7, 3],
    ['one position at a time', 2, 3, 1],
    ['a single position', 2, 1],
    ['chunks of the usual size', 1, 130],
  ];
  for (const [title, group, seq, rows] of cases) {
    it(`has values and gradients of the composition: ${title}`, () =>
      expectSameOp(
        (q, k, v) => causalAttention(q, k, v, rows),
        (q, k, v) => composed.causalAttention(q, k, v),
        inputs(group, seq),
      ));
  }

  it('sees nothing later', async () => {
    const [q, k, v] = inputs(1, 5) as [tf.Tensor, tf.Tensor, tf.Tensor];
    // the gradient of the first two positions' result
    const dy = tf.concat([tf.ones([stack, 1, 2, d]), tf.zeros([stack, 1, 3, d])], 2);
    const gradients = tf.grads((k: tf.Tensor, v: tf.Tensor) => causalAttention(q, k, v, 2))(
      [k, v],
      dy,
    );
    for (const gradient of gradients) {
      const later = tf.slice(gradient, [0, 2, 0], [stack, 3, d]);
      expect(Array.from(await later.data()).every((value) => value === 0)).to.equal(true);
      later.dispose();
    }
    tf.dispose([q, k, v, dy, gradients]);
  });

  it('keeps its inputs only', () => {
    expectKeepsInputs((q, k, v) => causalAttention(q, k, v, 2), inputs(2, 5));
  });

  it('takes memory that grows linearly with the sequence', () => {
    const peak = (seq: number) => peakBytes((q, k, v) => causalAttention(q, k, v), inputs(1, seq));
    expect(peak(512) / peak(256)).to.be.within(1.9, 2.1);
    expect(peak(1024) / peak(512)).to.be.within(1.9, 2.1);
  });
});
