import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {
  NativeOps,
  nativeOf,
  type Native,
  type NodeBackend,
} from '../../../src/kernels/tensorflow/native_ops';
import {backends, defaultBackend} from '../../support/backends';

const isThere = backends.includes('tensorflow');

(isThere ? describe : describe.skip)('NativeOps on tensorflow', () => {
  before(() => tf.setBackend('tensorflow'));
  after(() => tf.setBackend(defaultBackend));

  it('keeps the scalars that are in use, however many others there have been', () => {
    const backend = tf.backend() as unknown as NodeBackend; // the backend's own, of which tfjs shows a part
    const ops = new NativeOps(backend);
    const others = Array.from({length: 150}, (_, i) => i / 3);
    const products = ops.scope((): Native[] => {
      const seven = ops.scalar(7);
      return others.map((value) => {
        expect(ops.scalar(7)).to.equal(seven);
        return ops.mul(ops.scalar(7), ops.scalar(value));
      });
    });
    tf.tidy(() => {
      products.forEach((product, i) => {
        const value = backend.createOutputTensor(ops.release(product)).dataSync()[0];
        expect(value).to.equal(Math.fround(7 * Math.fround(others[i]!)));
      });
    });
  });

  /** Products by `NativeOps` with each way to transpose; says which ops made them. */
  function productsOf(
    longestInner: number,
    shapes: readonly [m: number, k: number, n: number],
    stacks: readonly [number[], number[]] = [[], []],
  ): {ops: string[]; error: number} {
    const backend = tf.backend() as unknown as NodeBackend;
    const {binding} = backend;
    const ran: string[] = [];
    const executeOp: NodeBackend['binding']['executeOp'] = (op, ...rest) => {
      ran.push(op);
      return binding.executeOp(op, ...rest);
    };
    const properties = {executeOp: {value: executeOp}};
    const watched = Object.create(binding, properties) as NodeBackend['binding'];
    const seen = Object.create(backend, {binding: {value: watched}}) as NodeBackend;
    const ops = new NativeOps(seen, longestInner);
    const [m, k, n] = shapes;
    const errors = [0, 1, 2, 3].map((way) =>
      tf.tidy(() => {
        const [transposeA, transposeB] = [way % 2 === 1, way > 1];
        const a = tf.randomUniform([...stacks[0], ...(transposeA ? [k, m] : [m, k])], -1, 1);
        const b = tf.randomUniform([...stacks[1], ...(transposeB ? [n, k] : [k, n])], -1, 1);
        const [x, y] = [a, b].map((tensor) => nativeOf(backend, tensor));
        const isPlain = stacks.every((stack) => stack.length === 0);
        const product = ops.scope(() =>
          ops.release(
            isPlain
              ? ops.matMul(x!, y!, transposeA, transposeB)
              : ops.batchMatMul(x!, y!, transposeA, transposeB),
          ),
        );
        const result = backend.createOutputTensor(product);
        // By products and sums of single entries.
        const rows = transposeA ? tf.transpose(a, lastTwoSwapped(a.rank)) : a;
        const columns = transposeB ? tf.transpose(b, lastTwoSwapped(b.rank)) : b;
        const expected = tf.sum(tf.mul(tf.expandDims(rows, -1), tf.expandDims(columns, -3)), -2);
        expect(result.shape).to.deep.equal(expected.shape);
        return tf.max(tf.abs(tf.sub(result, expected))).dataSync()[0]!;
      }),
    );
    return {ops: ran, error: Math.max(...errors)};
  }

  it('multiplies in parts of the inner size where one product is not safe', () => {
    const before = tf.memory().numTensors;
    for (const stacks of [undefined, [[2, 3], [3]], [[1], [4]]] as const) {
      const {ops, error} = productsOf(90, [5, 271, 7], stacks && [[...stacks[0]], [...stacks[1]]]);
      expect(ops.filter((op) => op.endsWith('MatMulV2'))).to.have.length(4 * 4);
      expect(ops).not.to.include('MatMul');
      expect(error).to.be.lessThan(1e-4); // of sums of 271 terms below 1, in float32
    }
    expect(tf.memory().numTensors).to.equal(before);
  });

  it('takes MatMul only where the inner size is short or another is 1', () => {
    const isPlain = (shapes: [number, number, number]): boolean =>
      productsOf(Infinity, shapes).ops.includes('MatMul');
    expect(isPlain([64, 80, 64])).to.equal(true);
    expect(isPlain([64, 81, 64])).to.equal(false);
    expect(isPlain([1, 576, 64])).to.equal(true);
  });
});

const lastTwoSwapped = (rank: number): number[] =>
  Array.from({length: rank}, (_, i) => (i < rank - 2 ? i : 2 * rank - 3 - i));
