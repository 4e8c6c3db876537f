import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {causalAttention} from '../../src/llama/causal_attention';
import {describeBackends} from '../support/backends';
import {withoutComputing} from '../support/without_computing';
import * as composed from '../../tools/composed';
import {expectKeepsInputs, expectSameOp, peakBytes, randomTensor} from './ops';

const [stack, d] = [2, 4];

/** Queries, keys and values; of `earlier` positions there are no queries. */
function inputs(group: number, seq: number, earlier = 0): tf.Tensor[] {
  const keys = [stack, earlier + seq, d];
  return [[stack, group, seq, d], keys, keys].map((shape, i) => randomTensor(shape, i));
}

describeBackends('causalAttention', (backend) => {
  // Bytes are counted on large tensors, which cpu fills slowly, by the same code as elsewhere.
  const itCounts = backend === 'cpu' ? it.skip : it;
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
        (q, k, v) => causalAttention(q, k, v, {rows}),
        (q, k, v) => composed.causalAttention(q, k, v),
        inputs(group, seq),
      ));
  }

  it('has those of the composition with any window, number of keys and of positions at a time', () =>
    fc.assert(
      fc.asyncProperty(
        ...([fc.integer({min: 1, max: 3}), fc.integer({min: 1, max: 11})] as const),
        ...([fc.integer({min: 0, max: 7}), fc.integer({min: 1, max: 12})] as const),
        fc.option(fc.integer({min: 1, max: 20})),
        (group, seq, earlier, rows, window) =>
          expectSameOp(
            (q, k, v) => causalAttention(q, k, v, {rows, window}),
            (q, k, v) => composed.causalAttention(q, k, v, window),
            inputs(group, seq, earlier),
          ),
      ),
      // software WebGPU takes a second for some
      {numRuns: backend === 'webgpu' ? 8 : 40},
    )).timeout(120_000);

  it('has those of the composition with a window over chunks of the usual size', () =>
    expectSameOp(
      (q, k, v) => causalAttention(q, k, v, {window: 50}),
      (q, k, v) => composed.causalAttention(q, k, v, 50),
      inputs(1, 300),
    ));

  it('sees nothing later', async () => {
    const [q, k, v] = inputs(1, 5) as [tf.Tensor, tf.Tensor, tf.Tensor];
    // the gradient of the first two positions' result
    const dy = tf.concat([tf.ones([stack, 1, 2, d]), tf.zeros([stack, 1, 3, d])], 2);
    const gradients = tf.grads((k: tf.Tensor, v: tf.Tensor) => causalAttention(q, k, v, {rows: 2}))(
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
    expectKeepsInputs((q, k, v) => causalAttention(q, k, v, {rows: 2}), inputs(2, 5));
  });

  itCounts('takes memory that grows linearly with the sequence', () =>
    withoutComputing(() => {
      const peak = (seq: number) =>
        peakBytes((q, k, v) => causalAttention(q, k, v), inputs(1, seq));
      expect(peak(512) / peak(256)).to.be.within(1.9, 2.1);
      expect(peak(1024) / peak(512)).to.be.within(1.9, 2.1);
    }),
  );

  itCounts('reads with a window no other keys', () =>
    withoutComputing(() => {
      const peak = (window: number | null) =>
        peakBytes((q, k, v) => causalAttention(q, k, v, {window}), inputs(1, 1024));
      const inputBytes = 3 * stack * 1024 * d * 4;
      // 117 positions at a time see 128 keys, in place of 64 that see up to 1024
      expect(peak(null) - inputBytes).to.be.above(2 * (peak(12) - inputBytes));
    }),
  );
});
