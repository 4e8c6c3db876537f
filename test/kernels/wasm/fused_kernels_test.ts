import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import * as fused from '../../../src/kernels/llama/kernel_names';
import * as names from '../../../src/kernels/kernel_names';
import {installKernels, uninstallKernels} from '../../../src/kernels/wasm';
import * as composed from '../../../tools/composed';
import {runAdam} from '../run_adam';
import {anyAttention, attentionGradients, expectSameAttention} from '../attention_cases';
import {decodeBlockCases, expectSameDecodeBlock} from '../decode_block_cases';
import {expectSameRMSNorm} from '../rms_norm_cases';
import {expectSameSwiGLU} from '../swiglu_cases';
import {
  describeWasm,
  expectSameKernel,
  gradients,
  randomOperand,
  scaled,
  seeds,
  spoiled,
  type Operand,
  type Tensors,
} from './compare';
import {thorough} from '../../support/backends';
import {fuzz} from '../../support/fuzz';

/** Ones that are no multiple of a vector's 4, and none at all. */
const widths = fc.constantFrom(1, 2, 3, 4, 5, 7, 8, 31, 64);
const counts = fc.constantFrom(0, 1, 2, 5, 16);
const scales = fc.constantFrom(1e-30, 1e-8, 1, 10, 1e8, 1e30);
const special = fc.constantFrom(null, NaN, Infinity, -Infinity);

function run(name: string, inputs: tf.NamedTensorMap, attrs: object = {}): Tensors {
  const result = tf.engine().runKernel<tf.Tensor | Tensors>(name, inputs, attrs as tf.NamedAttrMap);
  return Array.isArray(result) ? result : [result];
}

describeWasm('fused kernels on wasm', testFusedKernels, ['auto']);

function testFusedKernels(): void {
  it('RMSNorm and its gradients', () =>
    fc.assert(
      fc.asyncProperty(counts, counts, widths, scales, seeds, (m, n, width, scale, seed) =>
        expectSameRMSNorm({shape: [m, n, width], scale, seed}, run, 'wasm'),
      ),
      fuzz(100),
    ));

  it('RMSNorm keeps what is not finite to its row', async () => {
    await tf.setBackend('wasm');
    tf.tidy(() => {
      const x = tf.tensor2d([1, 2, NaN, 4, Infinity, 6, 7, 8], [4, 2]);
      const [y] = run(fused.OwLoreRMSNorm, {x, weight: tf.ones([2])}, {epsilon: 0});
      expect(Array.from(y!.dataSync(), Number.isFinite)).to.deep.equal([
        true,
        true,
        false,
        false,
        false,
        true,
        true,
        true,
      ]);
    });
  });

  it('SwiGLU and its gradients', () =>
    fc.assert(
      fc.asyncProperty(counts, widths, scales, special, seeds, (m, n, scale, value, seed) =>
        expectSameSwiGLU({shape: [m, n], scale, value, seed}, run, 'wasm'),
      ),
      fuzz(100),
    ));

  it('the exponential function, by SwiGLU, over all of its range', async () => {
    await tf.setBackend('wasm');
    tf.tidy(() => {
      const z = tf.linspace(-110, 110, 44001);
      const [y] = run(fused.OwLoreSwiGLU, {gate: z, up: tf.ones([44001])});
      const values = y!.dataSync();
      z.dataSync().forEach((x, i) => {
        const silu = x / (1 + Math.exp(-x));
        // below −88.7 the exponential is infinite in float32, and silu 0
        const allowed = 4 * 2 ** -24 * Math.abs(silu) + 1e-36;
        if (!(Math.abs(values[i]! - silu) <= allowed)) expect(values[i]).to.equal(silu, `at ${x}`);
      });
    });
  });

  it('the next position of a block', () =>
    fc.assert(
      fc.asyncProperty(decodeBlockCases, (given) => expectSameDecodeBlock(given, run, 'wasm')),
      fuzz(60),
    ));

  it('cross-entropy and its gradient', () =>
    fc.assert(
      fc.asyncProperty(
        ...([counts, widths, fc.constantFrom(1e-30, 1, 30, 1e4), special, seeds] as const),
        async (rows, vocabulary, scale, value, seed) => {
          const logits = spoiled(scaled([rows, vocabulary], seed, scale), value, seed);
          const random = randomOperand([rows], seed + 1).values;
          const labels: Operand = {
            shape: [rows],
            // one in five is not counted
            values: Int32Array.from(random, (x, i) =>
              i % 5 === 4 ? -100 : Math.abs(x) * vocabulary,
            ),
          };
          const weights = randomOperand([rows], seed + 2);
          const idsOf = (labels: tf.Tensor): tf.Tensor => tf.maximum(labels, tf.scalar(0, 'int32'));
          const loss = (logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor): tf.Tensor => {
            const places = tf.stack([tf.range(0, rows, 1, 'int32'), idsOf(labels)], 1);
            const losses = tf.sub(tf.logSumExp(logits, -1), tf.gatherND(logits, places));
            const isCounted = tf.greaterEqual(labels, 0);
            return tf.sum(tf.where(isCounted, tf.mul(weights, losses), tf.zerosLike(losses)));
          };
          const gradient = (
            logits: tf.Tensor,
            labels: tf.Tensor,
            weights: tf.Tensor,
          ): tf.Tensor => {
            const isCounted = tf.cast(tf.greaterEqual(labels, 0), 'float32');
            const columns = tf.expandDims(tf.range(0, vocabulary, 1, 'int32'), 0);
            const oneHot = tf.equal(tf.expandDims(idsOf(labels), 1), columns);
            const counted = tf.expandDims(tf.mul(weights, isCounted), 1);
            return tf.mul(tf.sub(tf.softmax(logits), oneHot), counted);
          };
          if (rows === 0) return;
          const inputs = (...[logits, labels, weights]: Tensors): tf.NamedTensorMap => ({
            logits: logits!,
            labels: labels!,
            weights: weights!,
          });
          await expectSameKernel(
            [logits, labels, weights],
            (...operands) => [
              run(fused.OwLoreCrossEntropy, inputs(...operands))[0]!,
              run(fused.OwLoreCrossEntropyGrad, inputs(...operands), {withLoss: true})[1]!,
            ],
            (logits, labels, weights) => {
              const expected = loss(logits, labels, weights);
              return [expected, expected];
            },
            {atol: 1e-5 * scale},
          );
          if (value !== null) return; // NaN · 0, in the reference, in a row that is left out
          await expectSameKernel(
            [logits, labels, weights],
            (...operands) =>
              [true, false].map(
                (withLoss) =>
                  run(fused.OwLoreCrossEntropyGrad, inputs(...operands), {withLoss})[0]!,
              ),
            (logits, labels, weights) => {
              const expected = gradient(logits, labels, weights);
              return [expected, expected];
            },
            {atol: 1e-5},
          );
        },
      ),
      fuzz(100),
    ));

  it('cross-entropy shows labels that are too large, and refuses other types', async () => {
    await tf.setBackend('wasm');
    tf.tidy(() => {
      const logits = tf.zeros([2, 3]);
      const weights = tf.ones([2]);
      const inputs = {logits, labels: tf.tensor1d([0, 3], 'int32'), weights};
      expect(run(fused.OwLoreCrossEntropy, inputs)[0]!.dataSync()[0]).to.be.NaN;
      const [gradient, loss] = run(fused.OwLoreCrossEntropyGrad, inputs, {withLoss: true});
      expect(loss!.dataSync()[0]).to.be.NaN;
      expect(Array.from(gradient!.dataSync(), Number.isNaN)).to.deep.equal(
        [...[0, 0, 0], ...[1, 1, 1]].map(Boolean),
      );
      const labels = tf.zeros([2]);
      expect(() => run(fused.OwLoreCrossEntropy, {logits, labels, weights})).to.throw(
        "OwLoreCrossEntropy on wasm: input 'labels' must be int32; got float32 [2]",
      );
    });
  });

  it('attention with its projections, and its gradients', () => {
    const cases = fc.record({
      ...anyAttention,
      length: fc.constantFrom(1, 3, 16, 17, 65, 128, 141),
      // their halves, which are rotated, fill vectors of four numbers or do not
      width: fc.constantFrom(2, 6, 8, 10, 14, 32, 62),
      hidden: fc.constantFrom(5, 24),
      // none; smaller than a piece of queries, as large, larger; and than the sequence
      window: fc.constantFrom(null, 1, 2, 5, 12, 16, 17, 40, 130, 1000),
      scale: fc.constantFrom(1e-8, 1, 10),
    });
    return fc.assert(
      fc.asyncProperty(cases, (given) => {
        // a score is a sum of products as large as the scale, and its rounding a part of its weight
        const scale = Math.max(1, given.scale);
        return expectSameAttention(given, run, {
          value: {rtol: 1e-5 * scale},
          // that of a score is a difference of terms of order 1, whose rounding (2⁻²⁴ each, of up to 62) is
          // all that is left where one key has nearly all the weight
          gradients: {rtol: 3e-5 * scale, atol: scale > 1 ? 62 * 2 ** -24 : 0},
        });
      }),
      {
        ...fuzz(thorough ? 40 : 15),
        examples: [
          [
            {
              ...{
                batch: 2,
                keyHeads: 1,
                group: 1,
                isBiased: false,
                withKernelGradients: true,
                window: null,
              },
              ...{seed: 724403134, length: 3, width: 62, hidden: 24, scale: 10},
            },
          ],
        ],
      },
    );
  });

  it('attention with a window sees no earlier key', async () => {
    await tf.setBackend('wasm');
    tf.tidy(() => {
      const [length, window] = [300, 37];
      const [q, k] = [tf.zeros([length, 2]), tf.ones([length, 2])];
      const v = tf.tile(tf.reshape(tf.range(0, length), [length, 1]), [1, 2]);
      const inputs = attentionInputs([q, k, v], [length, 2]);
      const attrs = {heads: 1, keyHeads: 1, window};
      const y = run(fused.OwLoreAttention, inputs, attrs)[0]!.dataSync();
      // all weights are equal: means of the values that are seen
      for (let at = 0; at < length; at++) {
        expect(y[2 * at]).to.be.closeTo((at + Math.max(0, at - window + 1)) / 2, 1e-4);
      }
    });
  });

  /**
   * Inputs of `OwLoreAttention` by which `q` `[batch · length, heads · width]`, `k` and `v` are queries, keys and values: they
   * stand side by side in `x`, and each kernel picks some columns. No angle turns them.
   */
  function attentionInputs(
    [q, k, v]: [tf.Tensor, tf.Tensor, tf.Tensor],
    [length, width]: [number, number],
  ): tf.NamedTensorMap {
    const x = tf.concat([q, k, v], 1);
    const columns = [q, k, v].map(({shape}) => shape[1]!);
    const [queryColumns, keyColumns, valueColumns] = tf.split(tf.eye(x.shape[1]!), columns, 1);
    const table = {cos: tf.ones([length, width / 2]), sin: tf.zeros([length, width / 2])};
    return {x, q: queryColumns!, k: keyColumns!, v: valueColumns!, ...table};
  }

  it('attention without projections and angles, and its gradients', () => {
    const lengths = fc.constantFrom(1, 2, 5, 63, 64, 65, 130);
    return fc.assert(
      fc.asyncProperty(
        ...([fc.constantFrom(1, 2), fc.constantFrom(1, 2), fc.constantFrom(1, 3)] as const),
        ...([lengths, fc.constantFrom(2, 4, 14, 32), fc.constantFrom(1e-8, 1, 30), seeds] as const),
        async (batch, keyHeads, group, length, width, scale, seed) => {
          const attrs = {heads: keyHeads * group, keyHeads, withKernelGradients: false};
          const queries = [batch * length, attrs.heads * width];
          const keys = [batch * length, keyHeads * width];
          const [q, k] = [scaled(queries, seed, scale), randomOperand(keys, seed + 1)];
          const [v, dy] = [randomOperand(keys, seed + 2), randomOperand(queries, seed + 3)];
          const attention = (...projected: Tensors): tf.Tensor => {
            const [q, k, v] = projected.map((x) => tf.reshape(x, [batch, length, -1, width]));
            const none = {cos: tf.scalar(1), sin: tf.scalar(0)};
            return tf.reshape(composed.selfAttention(q!, k!, v!, none), queries);
          };
          await expectSameKernel(
            [q, k, v],
            (q, k, v) => {
              const inputs = attentionInputs([q, k, v], [length, width]);
              return run(fused.OwLoreAttention, inputs, attrs).slice(0, 1);
            },
            (q, k, v) => [attention(q, k, v)],
          );
          await expectSameKernel(
            [dy, q, k, v],
            (dy, q, k, v) => {
              const inputs = attentionInputs([q, k, v], [length, width]);
              const [dx] = attentionGradients(run, dy, inputs, attrs);
              return tf.split(dx!, [queries[1]!, keys[1]!, keys[1]!], 1);
            },
            gradients(attention),
            {rtol: 2e-5, atol: 1e-6 * scale},
          );
        },
      ),
      fuzz(thorough ? 40 : 15),
    );
  });

  it('attention sees no later key, not even NaN', async () => {
    await tf.setBackend('wasm');
    tf.tidy(() => {
      const ones = tf.ones([6, 2]);
      // it makes the last two queries and keys NaN, and no values
      const cos = tf.tensor2d([1, 1, 1, 1, NaN, NaN], [6, 1]);
      const inputs = {...attentionInputs([ones, ones, ones], [6, 2]), cos};
      const y = run(fused.OwLoreAttention, inputs, {heads: 1, keyHeads: 1})[0]!.dataSync();
      expect(Array.from(y.slice(0, 8))).to.deep.equal(Array(8).fill(1));
      expect(Array.from(y.slice(8), Number.isNaN)).to.deep.equal(Array(4).fill(true));
    });
  });

  it('attention of no sequences', async () => {
    await tf.setBackend('wasm');
    tf.tidy(() => {
      const kernel = tf.zeros([3, 8]);
      const table = tf.zeros([5, 2]);
      const inputs = {x: tf.zeros([0, 3]), q: kernel, k: kernel, v: kernel, cos: table, sin: table};
      const attrs = {heads: 2, keyHeads: 2, withKernelGradients: true};
      const results = run(fused.OwLoreAttention, inputs, attrs);
      expect(results.map(({shape}) => shape)).to.deep.equal(Array(4).fill([0, 8]));
      const [dx, ...dKernels] = attentionGradients(run, tf.zeros([0, 8]), inputs, attrs);
      expect(dx!.shape).to.deep.equal([0, 3]);
      for (const gradient of dKernels) expect(tf.max(tf.abs(gradient)).dataSync()[0]).to.equal(0);
    });
  });

  it('attention of a long sequence', async () => {
    await tf.setBackend('wasm');
    tf.tidy(() => {
      // all weights of a position are equal: means of the values so far
      const length = 17000;
      const [q, k] = [tf.zeros([length, 2]), tf.ones([length, 2])];
      const v = tf.tile(tf.reshape(tf.range(0, length), [length, 1]), [1, 2]);
      const inputs = attentionInputs([q, k, v], [length, 2]);
      const y = run(fused.OwLoreAttention, inputs, {heads: 1, keyHeads: 1})[0]!.dataSync();
      for (const at of [0, 1, 777, length - 1]) {
        for (const mean of y.slice(2 * at, 2 * at + 2)) {
          expect(mean / (at / 2 || 1)).to.be.closeTo(at ? 1 : 0, 1e-4);
        }
      }
    });
  });

  const steps = {rate: 1e-3, epsilon: 1e-8, decay: 0.99};
  /** What Adam changes, and the old variable after weight decay. */
  const changeOf = (first: tf.Tensor, second: tf.Tensor): tf.Tensor =>
    tf.mul(tf.div(first, tf.add(tf.sqrt(second), steps.epsilon)), steps.rate);
  const updateScales = fc.constantFrom(1e-15, 1e-8, 1, 1e8, 1e15);

  function moments(
    shape: number[],
    seed: number,
    scale: number,
  ): [first: Operand, second: Operand] {
    const second = scaled(shape, seed + 1, scale ** 2);
    return [scaled(shape, seed, scale), {shape, values: second.values.map(Math.abs)}];
  }

  const betas = {beta1: 0.9, beta2: 0.999};

  /** The moments after one gradient. */
  const movedOn = (
    [gradient, first, second]: readonly tf.Tensor[],
    {beta1, beta2}: typeof betas,
  ): [first: tf.Tensor, second: tf.Tensor] => [
    tf.add(tf.mul(first!, beta1), tf.mul(gradient!, 1 - beta1)),
    tf.add(tf.mul(second!, beta2), tf.mul(tf.square(gradient!), 1 - beta2)),
  ];

  it('moments of Adam, with and without a clip factor', () =>
    fc.assert(
      fc.asyncProperty(
        ...([counts, widths, updateScales, special] as const),
        ...([fc.constantFrom(0, 0.5, 0.9, 0.999), fc.boolean(), seeds] as const),
        async (m, n, scale, value, beta1, isClipped, seed) => {
          const gradient = spoiled(scaled([m, n], seed, scale), value, seed);
          // towards an infinite number from the other side the way is infinite, and their sum NaN
          fc.pre(value === null || beta1 > 0.5);
          const factor = isClipped ? 0.3 : 1;
          await expectSameKernel(
            [gradient, ...moments([m, n], seed + 1, scale)],
            (...[gradient, first, second]) => {
              const inputs = {variable: tf.zeros([m, n]), gradient, first, second};
              const clip = isClipped ? {clip: tf.scalar(0.3)} : {};
              return runAdam(inputs, {...betas, beta1, ...steps}, clip).slice(1);
            },
            (...[gradient, first, second]) =>
              movedOn([tf.mul(gradient!, factor), first!, second!], {...betas, beta1}),
            {rtol: 1e-6},
          );
        },
      ),
      fuzz(100),
    ));

  it('step of Adam with weight decay', () =>
    fc.assert(
      fc.asyncProperty(counts, widths, updateScales, seeds, async (m, n, scale, seed) => {
        await expectSameKernel(
          [
            randomOperand([m, n], seed),
            scaled([m, n], seed + 3, scale),
            ...moments([m, n], seed + 1, scale),
          ],
          (...[variable, gradient, first, second]) =>
            runAdam({variable, gradient, first, second}, {...betas, ...steps}).slice(0, 1),
          (variable, ...gradientAndMoments) => [
            tf.sub(tf.mul(variable, steps.decay), changeOf(...movedOn(gradientAndMoments, betas))),
          ],
        );
      }),
      fuzz(100),
    ));

  it('step of Adam in a subspace', () =>
    fc.assert(
      fc.asyncProperty(
        ...([fc.constantFrom(1, 7, 16, 33), fc.constantFrom(1, 8, 30)] as const),
        ...([fc.constantFrom(1, 3, 8), fc.constantFrom('left', 'right'), seeds] as const),
        async (rows, columns, rank, side, seed) => {
          const isLeft = side === 'left';
          const inSubspace = isLeft ? [rank, columns] : [rows, rank];
          await expectSameKernel(
            [
              randomOperand([rows, columns], seed),
              randomOperand([isLeft ? rows : columns, rank], seed + 3),
              randomOperand(inSubspace, seed + 4),
              ...moments(inSubspace, seed + 1, 1),
            ],
            (...[variable, basis, gradient, first, second]) =>
              runAdam({variable, basis, gradient, first, second}, {...betas, ...steps, side}),
            (variable, basis, ...gradientAndMoments) => {
              const [first, second] = movedOn(gradientAndMoments, betas);
              const change = changeOf(first, second);
              const full = isLeft
                ? tf.matMul(basis, change)
                : tf.matMul(change, basis, false, true);
              return [tf.sub(tf.mul(variable, steps.decay), full), first, second];
            },
          );
        },
      ),
      fuzz(100),
    ));

  it('Adam changes moments in their place, but where another tensor shares it', async () => {
    await tf.setBackend('wasm');
    tf.tidy(() => {
      const [oldVariable, oldFirst, oldSecond] = [0, 1, 2].map(() => tf.ones([2, 5]));
      const inputs = {variable: oldVariable, first: oldFirst, second: oldSecond};
      const shared = tf.clone(oldSecond!);
      const gradient = tf.fill([2, 5], 3);
      const numbers = {...betas, ...steps, rate: 0.5, beta2: 0};
      const [variable, first, second] = runAdam({...inputs, gradient}, numbers);
      expect(first!.dataId).to.equal(oldFirst!.dataId);
      expect(second!.dataId).to.not.equal(shared.dataId);
      expect(variable!.dataId).to.not.equal(oldVariable!.dataId);
      expect([shared, second!].map((x) => x.dataSync()[9])).to.deep.equal([1, 9]);
    });
  });

  it('a convolution has the filter that Adam has moved, and no copy of the one before', async () => {
    await tf.setBackend('wasm');
    const filter = tf.tidy(() => tf.variable(tf.ones([1, 1, 2, 3])));
    const [x, gradient] = [tf.ones<tf.Rank.R4>([1, 2, 2, 2]), tf.ones(filter.shape)];
    const convolved = (): number =>
      tf.tidy(() => tf.conv2d(x, filter as tf.Tensor4D, 1, 'same').dataSync()[0]!);
    expect(convolved()).to.equal(2);
    tf.tidy(() => {
      const [first, second] = [tf.zeros(filter.shape), tf.zeros(filter.shape)];
      const numbers = {...{beta1: 0, beta2: 0, rate: 0.5, epsilon: 0}, decay: 1, side: undefined};
      const [moved] = runAdam({variable: filter, gradient, first, second}, numbers);
      filter.assign(moved!);
    });
    expect(convolved()).to.equal(1);
    tf.dispose([x, gradient, filter]);
  });

  it('are there with the module only', async () => {
    const {OwLoreAdam, OwLoreCountAbove, OwLoreMagnitudeSums} = names;
    const {OwLoreSquaredNorm, OwLoreUnpackBfloat16} = names;
    const optimizerKernels = [OwLoreAdam, OwLoreSquaredNorm];
    const own = [...optimizerKernels, OwLoreCountAbove, OwLoreMagnitudeSums, OwLoreUnpackBfloat16];
    // in training, a block, or half of one, as one kernel is TensorFlow's
    const llamaKernels = Object.values(fused).filter((name) => !/Sublayer|OwLoreBlock/.test(name));
    const all = [...llamaKernels, ...own];
    expect(all.filter((name) => !tf.getKernel(name, 'wasm'))).to.deep.equal([]);
    uninstallKernels();
    expect(all.filter((name) => tf.getKernel(name, 'wasm'))).to.deep.equal([]);
    await installKernels({simd: 'none'});
    expect(all.filter((name) => tf.getKernel(name, 'wasm'))).to.deep.equal([]);
    uninstallKernels();
    await installKernels();
    expect(all.filter((name) => !tf.getKernel(name, 'wasm'))).to.deep.equal([]);
  });
}
