import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {OwLoreDecodeBlock} from '../../../src/kernels/llama/kernel_names';
import {decodeBlock} from '../../../src/kernels/tensorflow/decode_block';
import {nativeInputs, runOps} from '../../../src/kernels/tensorflow/kernel';
import {NativeOps, type NodeBackend} from '../../../src/kernels/tensorflow/native_ops';
import {backends, defaultBackend} from '../../support/backends';
import {Comparison} from '../../support/close';
import {kernelCases} from '../kernel_cases';

const isThere = backends.includes('tensorflow');

(isThere ? describe : describe.skip)('the decode kernel of tensorflow', () => {
  before(() => tf.setBackend('tensorflow'));
  after(() => tf.setBackend(defaultBackend));

  /** Its results with so many positions, and the ops that made them, with the values of constants. */
  function run(positions: number, longestInner: number): {ops: string[]; results: number[][]} {
    const backend = tf.backend() as unknown as NodeBackend; // the backend's own, of which tfjs shows a part
    const ops = new NativeOps(backend, longestInner);
    const ran: string[] = [];
    const {runAll, constant} = ops;
    ops.runAll = (op, ...rest) => {
      ran.push(op);
      return runAll.call(ops, op, ...rest);
    };
    ops.constant = (values, shape) => {
      ran.push(`${values.join()} [${shape.join()}]`);
      return constant.call(ops, values, shape);
    };
    const {inputs, attrs} = kernelCases('tensorflow')[OwLoreDecodeBlock]!;
    return tf.tidy(() => {
      const tensors = Object.entries(inputs).map(([name, {shape, dtype}], i) => {
        const fullShape = /^(keys|values)$/.test(name)
          ? shape.map((size, axis) => (axis === 2 ? positions : size))
          : shape;
        return [
          name,
          dtype === 'int32'
            ? tf.range(0, shape[0]!, 1, dtype)
            : tf.randomNormal(fullShape, 0, 1, 'float32', i + 1),
        ] as const;
      });
      const given = nativeInputs(backend, Object.fromEntries<tf.Tensor>(tensors));
      const results = ops.scope(() =>
        runOps(decodeBlock, ops, given, attrs as never).map((x) => ops.release(x)),
      );
      return {
        ops: ran,
        results: results.map((x) => Array.from(backend.createOutputTensor(x).dataSync())),
      };
    });
  }

  it('is the same graph for all numbers of positions, and the same with products of any length or of short ones only', () => {
    // the first run makes scalars that are kept
    for (const longestInner of [Infinity, 8]) run(1, longestInner);
    const [safe, short] = [Infinity, 8].map((longestInner) => {
      const {ops} = run(3, longestInner);
      const long = run(300, longestInner);
      expect(long.ops).to.deep.equal(ops);
      return long;
    }) as [ReturnType<typeof run>, ReturnType<typeof run>];
    expect(safe.ops).not.to.deep.equal(short.ops);
    const comparison = new Comparison('results', {rtol: 1e-4, atol: 1e-4});
    safe.results.forEach((values, i) => comparison.add(`result ${i}`, short.results[i]!, values));
    comparison.finish();
  });
});
