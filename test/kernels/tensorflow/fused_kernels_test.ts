import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {SMALL_WEIGHT} from '../../../src/kernels/capabilities';
import * as names from '../../../src/kernels/kernel_names';
import * as fused from '../../../src/kernels/llama/kernel_names';
import {runKernel} from '../../../src/kernels/run_kernel';
import {replaceKernels} from '../../../src/kernels/replacement';
import * as cpu from '../../../src/kernels/cpu';
import {installKernels, uninstallKernels} from '../../../src/kernels/tensorflow';
import {momentFactor} from '../../../src/kernels/tensorflow/adam';
import {KernelGraphs} from '../../../src/kernels/tensorflow/graphs';
import {llamaKernels} from '../../../src/kernels/tensorflow/llama_kernels';
import type {NodeBackend} from '../../../src/kernels/tensorflow/native_ops';
import {backends, defaultBackend} from '../../support/backends';
import * as composed from '../../../tools/composed';
import {numbered, runAdam, type AdamNumbers} from '../run_adam';
import {anyAttention, attentionOf, expectSameAttention} from '../attention_cases';
import {decodeBlockCases, expectSameDecodeBlock} from '../decode_block_cases';
import {expectSameRMSNorm} from '../rms_norm_cases';
import {expectSameSwiGLU} from '../swiglu_cases';
import {
  expectSameKernel,
  randomOperand,
  scaled,
  seeds,
  type Operand,
  type Tensors,
} from '../wasm/compare';
import {fuzz} from '../../support/fuzz';
import {watchCalls} from './watch_calls';

const widths = fc.constantFrom(1, 2, 3, 8, 31, 64);
const counts = fc.constantFrom(0, 1, 2, 5, 16);
const scales = fc.constantFrom(1e-30, 1e-8, 1, 10, 1e8, 1e30);
const special = fc.constantFrom(null, NaN, Infinity, -Infinity);

/** Runs a kernel as the backend runs it, here with graphs that are there after one run. */
let asGraphs = false;
let watch: ReturnType<typeof watchCalls> | undefined;

function run(name: string, inputs: Record<string, tf.Tensor>, attrs = {}): Tensors {
  if (asGraphs) tf.dispose(runKernel(name, inputs, attrs)!);
  watch?.take();
  const results = runKernel(name, inputs, attrs)!;
  if (watch) expect(watch.take().graphs, 'graphs run').to.equal(asGraphs ? 1 : 0);
  return results;
}

const EPSILON = 1e-5;

const attentionCases = fc.record({
  ...anyAttention,
  length: fc.constantFrom(1, 2, 5, 128, 130, 300),
  width: fc.constantFrom(2, 8, 32),
  hidden: fc.constant(6),
  // none; within a piece of queries, over several, longer than any sequence
  window: fc.constantFrom(null, 1, 2, 7, 64, 100, 1000),
  scale: fc.constantFrom(1e-8, 1, 4),
});

/** A sublayer's operands, or a block's: `x`, its weights, and as the last ones what has no gradient. */
interface SublayerCase {
  names: string[];
  operands: Operand[];
  constants: number;
  /** Names of the kernel's results after the value; after these there may come attention's weights. */
  results: string[];
  withWeightGradients: boolean;
  /** Of a block: whether it runs again for its gradients with the value of its first half. Default false. */
  isFirstHalfKept?: boolean;
  dy: Operand;
}

/** Compares the kernel of a sublayer or a block, and that of its gradients, with what is composed. */
async function expectSameSublayer(
  name: string,
  attrs: object,
  sublayer: (...inputs: Tensors) => tf.Tensor,
  {
    names,
    operands,
    constants,
    results,
    withWeightGradients,
    isFirstHalfKept = false,
    dy,
  }: SublayerCase,
): Promise<void> {
  const named = (inputs: Tensors): Record<string, tf.Tensor> =>
    Object.fromEntries(inputs.map((x, i) => [names[i]!, x]));
  await expectSameKernel(
    operands,
    (...inputs) => run(name, named(inputs), attrs).slice(0, 1),
    (...inputs) => [sublayer(...inputs)],
    {backend, rtol: 5e-5, atol: 1e-4},
  );
  await expectSameKernel(
    [dy, ...operands],
    (...[dy, ...inputs]) => {
      const omitted = 'withoutValue' in attrs && {withoutValue: true};
      const [, ...further] = run(name, named(inputs), {...attrs, ...omitted});
      let kept = Object.fromEntries(
        further.map((x, i) => [results[i] ?? `weights${i - results.length}`, x]),
      );
      if (isFirstHalfKept) {
        const {attended} = kept as {attended: tf.Tensor};
        const again = run(name, {...named(inputs), attended}, {...attrs, ...omitted}).slice(1);
        const names = results.filter((name) => name !== 'attended' && name !== 'mixed');
        expect(again).to.have.length(names.length);
        kept = {attended, ...Object.fromEntries(names.map((name, i) => [name, again[i]!]))};
      }
      return run(
        `${name}Grad`,
        {...named(inputs), ...kept, dy: dy!},
        {...attrs, withWeightGradients},
      );
    },
    (...[dy, ...inputs]) => {
      const differentiated = inputs.slice(0, inputs.length - constants);
      const rest = inputs.slice(inputs.length - constants);
      const gradients = tf.grads((...x) => sublayer(...x, ...rest))(differentiated, dy);
      return withWeightGradients ? gradients : gradients.slice(0, 1);
    },
    // Differences of sums of up to some hundred products of magnitude 1.
    {backend, rtol: 5e-5, atol: 2e-4},
  );
}

/** The first half of a block, of what tfjs has. */
function attentionHalf(
  attention: ReturnType<typeof attentionOf>,
  [x, norm, q, k, v, o, ...rest]: Tensors,
): tf.Tensor {
  const normalized = composed.rmsNorm(x!, norm!, EPSILON);
  return tf.add(x!, tf.matMul(attention.composed(normalized, q!, k!, v!, ...rest), o!));
}

/** The second half. */
function mlpHalf([x, norm, gate, up, down]: Tensors): tf.Tensor {
  const normalized = composed.rmsNorm(x!, norm!, EPSILON);
  const [gated, upped] = [gate!, up!].map((kernel) => tf.matMul(normalized, kernel));
  return tf.add(x!, tf.matMul(composed.swiglu(gated!, upped!), down!));
}

/** The weights of the second half. */
function mlpOperands(hidden: number, intermediate: number, seed: number): Operand[] {
  return [
    randomOperand([hidden], seed + 1),
    randomOperand([hidden, intermediate], seed + 2),
    randomOperand([hidden, intermediate], seed + 3),
    randomOperand([intermediate, hidden], seed + 4),
  ];
}

/** Names of the results of a block after its value. */
const BLOCK_RESULTS = [
  ...['attended', 'mlpScale', 'gated', 'upped'],
  ...['scale', 'mixed', 'queries', 'keys', 'values'],
];

type AttentionCase = Parameters<typeof attentionOf>[0] & {withKernelGradients: boolean};

/** A block: its operands, of which the last two have no gradient, and the same of what tfjs has. */
function blockOf(
  {seed, withKernelGradients, ...given}: Omit<AttentionCase, 'scale'>,
  intermediate: number,
): {
  operands: Record<string, Operand>;
  block: (...inputs: Tensors) => tf.Tensor;
  attrs: Record<string, unknown>;
} {
  const attention = attentionOf({...given, seed, withKernelGradients, scale: 1});
  const {x: shape, y} = attention.shapes;
  const hidden = shape.at(-1)!;
  const {q, k, v, ...biases} = attention.weights;
  const attentionCount = 5 + Object.keys(biases).length; // norm, q, k, v, o
  const block = (...[x, ...rest]: Tensors): tf.Tensor => {
    const mlpWeights = rest.slice(attentionCount, attentionCount + 4);
    const first = [x!, ...rest.slice(0, attentionCount), ...rest.slice(attentionCount + 4)];
    return mlpHalf([attentionHalf(attention, first), ...mlpWeights]);
  };
  const [mlpNorm, gate, up, down] = mlpOperands(hidden, intermediate, seed + 20);
  const operands = {
    x: randomOperand(shape, seed),
    norm: randomOperand([hidden], seed + 10),
    ...{q, k, v},
    o: randomOperand([y.at(-1)!, hidden], seed + 11),
    ...biases,
    ...{mlpNorm: mlpNorm!, gate: gate!, up: up!, down: down!},
    ...attention.table,
  };
  const blockAttrs = {epsilon: EPSILON, keepsWeights: seed % 2 === 0, withoutValue: false};
  return {operands, block, attrs: {...attention.attrs, ...blockAttrs}};
}

const isThere = backends.includes('tensorflow') && backends.includes('cpu');
const backend = 'tensorflow';

(isThere ? describe : describe.skip)('fused kernels on tensorflow', () => {
  before(async () => {
    cpu.uninstallKernels(); // what the kernels are compared with is tfjs's own
    await tf.setBackend('tensorflow');
    await installKernels();
  });
  after(async () => {
    uninstallKernels();
    await tf.setBackend(defaultBackend);
  });

  for (const [way, isGraph] of [
    ['op by op', false],
    ['as graphs', true],
  ] as const) {
    describe(way, () => {
      const graphs = new KernelGraphs(isGraph ? 1 : Infinity);
      // A graph is a recording of the ops that run one by one, and takes TensorFlow long to load.
      const runs = isGraph ? 30 : 100;
      const runsWithAttention = isGraph ? 10 : 25;
      let putBack: () => void;
      before(() => {
        asGraphs = isGraph;
        watch = watchCalls();
        putBack = replaceKernels('tensorflow', llamaKernels(graphs));
      });
      after(() => {
        asGraphs = false;
        watch?.stop();
        watch = undefined;
        putBack();
        graphs.dispose();
      });

      it('RMSNorm and its gradients', () =>
        fc.assert(
          fc.asyncProperty(
            ...([counts, counts, widths, scales, fc.boolean(), seeds] as const),
            (m, n, width, scale, isMatrix, seed) => {
              const shape = isMatrix ? [m * n, width] : [m, n, width];
              return expectSameRMSNorm({shape, scale, seed}, run, backend);
            },
          ),
          fuzz(runs),
        ));

      it('SwiGLU and its gradients', () =>
        fc.assert(
          fc.asyncProperty(counts, widths, scales, special, seeds, (m, n, scale, value, seed) =>
            expectSameSwiGLU({shape: [m, n], scale, value, seed}, run, backend),
          ),
          fuzz(runs),
        ));

      it('the sublayer with attention and its gradients', () =>
        fc.assert(
          fc.asyncProperty(attentionCases, async ({seed, withKernelGradients, ...given}) => {
            const attention = attentionOf({...given, seed, withKernelGradients, scale: 1});
            const {x: shape, y} = attention.shapes;
            const hidden = shape.slice(-1);
            const {q, k, v, ...biases} = attention.weights;
            const sublayer = (...inputs: Tensors): tf.Tensor => attentionHalf(attention, inputs);
            const operands = {
              x: randomOperand(shape, seed),
              norm: randomOperand(hidden, seed + 10),
              ...{q, k, v},
              o: randomOperand([...y.slice(-1), ...hidden], seed + 11),
              ...biases,
              ...attention.table,
            };
            const withEpsilon = {...attention.attrs, epsilon: EPSILON};
            await expectSameSublayer(fused.OwLoreAttentionSublayer, withEpsilon, sublayer, {
              ...{names: Object.keys(operands), operands: Object.values(operands), constants: 2},
              ...{
                results: ['scale', 'mixed', 'queries', 'keys', 'values'],
                withWeightGradients: withKernelGradients,
              },
              dy: randomOperand(shape, seed + 12),
            });
          }),
          fuzz(runsWithAttention),
        ));

      it('the sublayer with the MLP and its gradients', () =>
        fc.assert(
          fc.asyncProperty(
            ...([fc.constantFrom(1, 7, 64), widths, widths, seeds] as const),
            async (rows, hidden, intermediate, seed) => {
              const operands = [
                randomOperand([rows, hidden], seed),
                ...mlpOperands(hidden, intermediate, seed),
              ];
              const sublayer = (...inputs: Tensors): tf.Tensor => mlpHalf(inputs);
              const attrs = {epsilon: EPSILON, withoutValue: false};
              await expectSameSublayer(fused.OwLoreMlpSublayer, attrs, sublayer, {
                ...{names: ['x', 'norm', 'gate', 'up', 'down'], operands, constants: 0},
                ...{results: ['scale', 'gated', 'upped'], withWeightGradients: seed % 3 > 0},
                dy: randomOperand([rows, hidden], seed + 5),
              });
            },
          ),
          fuzz(runs),
        ));

      it('the block and its gradients', () =>
        fc.assert(
          fc.asyncProperty(...([attentionCases, widths] as const), async (given, intermediate) => {
            const {operands, block, attrs} = blockOf(given, intermediate);
            const {seed, withKernelGradients} = given;
            await expectSameSublayer(fused.OwLoreBlock, attrs, block, {
              ...{names: Object.keys(operands), operands: Object.values(operands), constants: 2},
              results: BLOCK_RESULTS,
              withWeightGradients: withKernelGradients,
              isFirstHalfKept: !withKernelGradients && seed % 3 > 0,
              dy: randomOperand(operands['x']!.shape, seed + 12),
            });
          }),
          fuzz(runsWithAttention),
        ));

      it('the block with low-rank products beside some of its matrices', () =>
        fc.assert(
          fc.asyncProperty(
            ...([
              attentionCases,
              widths,
              fc.subarray(['q', 'k', 'v', 'o', 'gate', 'up', 'down'], {minLength: 1}),
              fc.constantFrom(1, 3),
            ] as const),
            async (given, intermediate, matrices, rank) => {
              const {operands, block, attrs} = blockOf(given, intermediate);
              const {seed, withKernelGradients} = given;
              const {x, ...constants} = operands;
              const pairs = matrices.flatMap((name, i) => {
                const [rows, columns] = operands[name]!.shape as [number, number];
                return [
                  [`${name}A`, randomOperand([rows, rank], seed + 30 + i)],
                  [`${name}B`, randomOperand([rank, columns], seed + 40 + i)],
                ] as Array<[string, Operand]>;
              });
              const scales = matrices.map((name, i) => [`${name}Scale`, 0.5 + i] as const);
              const names = Object.keys(constants);
              // the slow, obvious way: a block with the sums W + scale · A B
              const blockOfSums = (...[x, ...rest]: Tensors): tf.Tensor => {
                const weights = rest.slice(pairs.length);
                matrices.forEach((name, i) => {
                  const change = tf.mul(tf.matMul(rest[2 * i]!, rest[2 * i + 1]!), scales[i]![1]);
                  const place = names.indexOf(name);
                  weights[place] = tf.add(weights[place]!, change);
                });
                return block(x!, ...weights);
              };
              const all = {x: x!, ...Object.fromEntries(pairs), ...constants};
              const withScales = {...attrs, ...Object.fromEntries(scales)};
              await expectSameSublayer(fused.OwLoreBlock, withScales, blockOfSums, {
                ...{names: Object.keys(all), operands: Object.values(all)},
                ...{
                  constants: names.length,
                  results: BLOCK_RESULTS,
                  withWeightGradients: withKernelGradients,
                },
                dy: randomOperand(x!.shape, seed + 12),
              });
            },
          ),
          fuzz(runsWithAttention),
        ));

      it('the next position of a block', () =>
        fc.assert(
          fc.asyncProperty(decodeBlockCases, (given) => expectSameDecodeBlock(given, run, backend)),
          fuzz(25),
        ));

      it('cross-entropy and its gradient', () =>
        fc.assert(
          fc.asyncProperty(
            ...([fc.constantFrom(1, 7, 40), fc.constantFrom(2, 3, 33), scales, seeds] as const),
            async (rows, vocabulary, scale, seed) => {
              const labels = Int32Array.from(
                randomOperand([rows], seed).values,
                (x) => Math.floor(((x + 1) / 2) * (vocabulary + 1)) - 1, // −1 is not counted
              );
              const operands = [
                scaled([rows, vocabulary], seed + 1, Math.min(scale, 1e8)),
                {shape: [rows], values: labels},
              ];
              const weights = (): tf.Tensor => {
                const counted = labels.reduce((sum, label) => sum + (label < 0 ? 0 : 1), 0);
                return tf.fill([rows], 1 / Math.max(counted, 1));
              };
              const loss = (...[logits, labels]: Tensors): tf.Tensor =>
                composed.sparseCrossEntropy(labels!, logits!);
              await expectSameKernel(
                operands,
                (...[logits, labels]) => {
                  const inputs = {logits: logits!, labels: labels!, weights: weights()};
                  const [loss] = run(fused.OwLoreCrossEntropy, inputs);
                  const [alone] = run(fused.OwLoreCrossEntropyGrad, inputs, {withLoss: false});
                  return [
                    loss!,
                    alone!,
                    ...run(fused.OwLoreCrossEntropyGrad, inputs, {withLoss: true}),
                  ];
                },
                (...[logits, labels]) => {
                  const {value, grad} = tf.valueAndGrad((logits) => loss(logits, labels!))(logits!);
                  return [value, grad, grad, value];
                },
                {backend, atol: 1e-6},
              );
            },
          ),
          {...fuzz(runs), examples: [[40, 30000, 1, 5]]}, // in more than one chunk
        ));

      it('cross-entropy shows labels that are too large, and leaves out a row that is not counted', async () => {
        await tf.setBackend('tensorflow');
        tf.tidy(() => {
          const logits = tf.tensor2d([0, 0, 0, 0, 0, 0, NaN, 1, 2], [3, 3]);
          const inputs = {logits, weights: tf.ones([3])};
          const results = (labels: number[]): number[][] =>
            [fused.OwLoreCrossEntropy, fused.OwLoreCrossEntropyGrad]
              .flatMap((name) =>
                run(name, {...inputs, labels: tf.tensor1d(labels, 'int32')}, {withLoss: true}),
              )
              .map((result) => Array.from(result.dataSync()));
          const isNaN = results([0, 3, -1]).map((values) => values.map(Number.isNaN));
          const [some, none] = [Array<boolean>(3).fill(true), Array<boolean>(3).fill(false)];
          expect(isNaN).to.deep.equal([[true], [...none, ...some, ...none], [true]]);
          const [[loss], gradient, [again]] = results([0, -1, -1]) as [
            number[],
            number[],
            number[],
          ];
          for (const x of [loss, again]) expect(x).to.be.closeTo(Math.log(3), 1e-6);
          expect(gradient.slice(3)).to.deep.equal(Array<number>(6).fill(0));
        });
      });

      it('attention and its gradients', () =>
        fc.assert(
          fc.asyncProperty(attentionCases, (given) => {
            const atol = 1e-5 * Math.max(1, given.scale);
            // the gradient is a difference of two sums of products, which are of magnitude 1
            return expectSameAttention(given, run, {
              value: {backend, atol},
              gradients: {backend, atol, rtol: 5e-5},
            });
          }),
          fuzz(runsWithAttention),
        ));
    });
  }

  it('attention does without the ops of oneDNN where TensorFlow has none', async () => {
    await tf.setBackend('tensorflow');
    const backend = tf.backend() as unknown as {binding: {executeOp: (name: string) => unknown}}; // the backend's own
    const {binding} = backend;
    const inputs = {
      x: tf.randomNormal([4, 6]),
      q: tf.randomNormal([6, 8]),
      k: tf.randomNormal([6, 8]),
      v: tf.randomNormal([6, 8]),
      cos: tf.ones([4, 2]),
      sin: tf.zeros([4, 2]),
    };
    const attention = (): tf.TypedArray =>
      tf.tidy(() => run(fused.OwLoreAttention, inputs, {heads: 2, keyHeads: 2})[0]!.dataSync());
    const expected = attention();
    const asked: string[] = [];
    const executeOp = (name: string, ...rest: unknown[]): unknown => {
      asked.push(name);
      if (name.startsWith('_Mkl')) throw new Error(`no ${name} here`);
      return (binding.executeOp as (...args: unknown[]) => unknown)(name, ...rest);
    };
    // Its properties cannot be changed.
    backend.binding = Object.create(binding, {executeOp: {value: executeOp}}) as typeof binding;
    try {
      for (let run = 0; run < 2; run++) {
        const actual = attention();
        // some roundings of float32, of numbers up to about 10
        expected.forEach((value, i) => expect(actual[i]).to.be.closeTo(value, 1e-5));
      }
    } finally {
      backend.binding = binding;
      tf.dispose(inputs);
    }
    expect(asked.filter((name) => name.startsWith('_Mkl'))).to.have.length(1); // not asked again
    expect(asked.filter((name) => name === 'Softmax')).to.have.length(2);
  });

  describe('Adam', () => {
    const sides = fc.constantFrom(undefined, 'left' as const, 'right' as const);
    const adamScales = fc.constantFrom(1e-12, 1e-8, 1, 1e8, 1e15);
    const betas = fc.constantFrom(0, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 1);

    /** Variable and moments, moved, in the slow, obvious way. */
    function composedAdam(
      [variable, first, second, gradient, basis]: Tensors,
      clip: number,
      {beta1, beta2, rate, epsilon, decay, side}: AdamNumbers,
    ): Tensors {
      const g = tf.mul(gradient!, clip);
      const m = tf.add(tf.mul(first!, beta1), tf.mul(g, 1 - beta1));
      const v = tf.add(tf.mul(second!, beta2), tf.mul(tf.square(g), 1 - beta2));
      const step = tf.div(tf.mul(m, rate), tf.add(tf.sqrt(v), epsilon));
      const [left, right] = [side === 'left', side === 'right'];
      const full = left
        ? tf.matMul(basis!, step)
        : right
          ? tf.matMul(step, basis!, false, true)
          : step;
      return [tf.sub(tf.mul(variable!, decay), full), m, v];
    }

    it('moves several variables together, projected or not', () =>
      fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.record({
              rows: fc.constantFrom(1, 7, 33),
              columns: fc.constantFrom(1, 8, 30),
              side: sides,
              rate: fc.constantFrom(1e-3, 1e-2),
              decay: fc.constantFrom(1, 0.9),
            }),
            {minLength: 1, maxLength: 4},
          ),
          ...([fc.constantFrom(1, 0.3), seeds] as const),
          async (variables, clip, seed) => {
            const rank = 3;
            const rule = {beta1: 0.9, beta2: 0.999};
            const updates = variables.map(({rate, decay, side}) => ({
              ...{rate, decay, side, epsilon: 1e-8},
            }));
            const operands = variables.flatMap(({rows, columns, side}, i) => {
              const shapes = {left: [rank, columns], right: [rows, rank]};
              const shape = side ? shapes[side] : [rows, columns];
              const second = randomOperand(shape, seed + 10 * i + 2);
              return [
                randomOperand([rows, columns], seed + 10 * i),
                randomOperand(shape, seed + 10 * i + 1),
                {shape, values: second.values.map(Math.abs)},
                randomOperand(shape, seed + 10 * i + 3),
                randomOperand([side === 'right' ? columns : rows, rank], seed + 10 * i + 4),
              ];
            });
            const sideOf = (i: number): string | undefined => variables[i]!.side;
            const operandsOfEach = (operands: Tensors): Tensors[] =>
              variables.map((_, i) => operands.slice(5 * i, 5 * i + 5));
            const together = (operands: Tensors): Tensors => {
              const inputs = operandsOfEach(operands).map(
                ([variable, first, second, gradient, basis], i) =>
                  numbered({variable, first, second, gradient, basis: sideOf(i) && basis}, i),
              );
              const scalars = {clip: clip === 1 ? null : tf.scalar(clip)};
              const named = Object.assign({}, ...inputs, scalars) as tf.NamedTensorMap;
              return runKernel(names.OwLoreAdam, named, {...rule, updates})!;
            };
            await expectSameKernel(
              operands,
              (...operands) => together(operands),
              (...operands) =>
                operandsOfEach(operands).flatMap((own, i) =>
                  composedAdam(own, clip, {...rule, ...updates[i]!}),
                ),
              {backend, rtol: 1e-6},
            );
          },
        ),
        fuzz(100),
      ));

    it('moves moments and variable', () =>
      fc.assert(
        fc.asyncProperty(
          ...([fc.constantFrom(1, 7, 33), fc.constantFrom(1, 8, 30), sides] as const),
          ...([adamScales, betas, betas, fc.constantFrom(1, 0.9), fc.boolean()] as const),
          ...([fc.boolean(), seeds] as const),
          async (least, columns, side, scale, beta1, beta2, decay, isClipped, isLarge, seed) => {
            // Without projection, a large variable is moved in place and a small one by a graph.
            const rows = isLarge && !side && columns === 1 ? least + SMALL_WEIGHT : least;
            // A single weight may end near 0, where its rounding is not: allowed is a part of the largest weight.
            fc.pre(rows * columns > 1);
            const rank = 3;
            const shapes = {left: [rank, columns], right: [rows, rank]};
            const shape = side ? shapes[side] : [rows, columns];
            const second = scaled(shape, seed + 2, scale ** 2);
            const operands = [
              randomOperand([rows, columns], seed),
              scaled(shape, seed + 1, scale),
              {shape, values: second.values.map(Math.abs)},
              scaled(shape, seed + 3, scale),
              randomOperand([side === 'right' ? columns : rows, rank], seed + 4),
            ];
            const attrs = {beta1, beta2, rate: 1e-2, epsilon: 1e-8, decay};
            const clip = isClipped ? 0.3 : 1;
            await expectSameKernel(
              operands,
              (...[variable, first, second, gradient, basis]) =>
                runAdam(
                  {variable, first, second, gradient, basis: side && basis},
                  {...attrs, side},
                  {clip: isClipped ? tf.scalar(clip) : null},
                ),
              (...[variable, first, second, ...others]) => {
                // in place, TensorFlow keeps moments times constants
                const isInPlace = rows * columns > SMALL_WEIGHT;
                const [f1, f2] = [beta1, beta2].map((beta) => (isInPlace ? momentFactor(beta) : 1));
                const moments = [tf.div(first!, f1!), tf.div(second!, f2!)];
                const [moved, m, v] = composedAdam([variable!, ...moments, ...others], clip, {
                  ...{...attrs, side},
                });
                return [moved!, tf.mul(m!, f1!), tf.mul(v!, f2!)];
              },
              // some roundings of 2⁻²⁴
              {backend, rtol: 1e-6},
            );
          },
        ),
        fuzz(100),
      ));

    const attrs = {beta1: 0.9, beta2: 0.999, rate: 0.1, epsilon: 1e-8, decay: 0.5};

    it('changes what shares its data with another tensor in a copy, all else in place', async () => {
      await tf.setBackend('tensorflow');
      tf.tidy(() => {
        const shape = [SMALL_WEIGHT / 2 + 1, 2];
        const inputs = {
          variable: tf.fill(shape, 4),
          first: tf.fill(shape, 1),
          second: tf.fill(shape, 1),
          gradient: tf.fill(shape, 1),
        };
        const clones = [tf.clone(inputs.variable), tf.reshape(inputs.first, [-1])];
        const outputs = runAdam(inputs, attrs);
        const [variable, first, second] = outputs.map((x) => x.dataSync()[5]);
        expect(variable).to.be.closeTo(2 - 0.1, 1e-6);
        expect([first, second]).to.deep.equal([1, 1]);
        expect(clones.map((x) => x.dataSync()[5])).to.deep.equal([4, 1]);
        const shared = outputs.map(({dataId}, i) => dataId === Object.values(inputs)[i]!.dataId);
        expect(shared).to.deep.equal([false, true, true]);
        expect(inputs.second.dataSync()[0]).to.equal(1);
      });
    });

    for (const side of ['left', 'right'] as const) {
      it(`changes a large projected weight in place, some rows at a time where that stays in place: side ${side}`, async () => {
        await tf.setBackend('tensorflow');
        const [known, unknown] = [true, false].map((isKnown) => {
          const {ops, result} = withCopyOnRead(isKnown, () => moveLarge(side));
          expect(ops).to.include('ResourceApplyAdam');
          const rows = ops.filter((op) => op === 'ResourceScatterAdd').length;
          if (!isKnown) {
            expect(rows).to.equal(0);
          } else {
            expect(rows).to.be.greaterThan(1);
            // TensorFlow is told not to copy before the variable is read
            const last = ops.lastIndexOf('ResourceScatterAdd');
            expect(ops[last + 1]).to.equal('DisableCopyOnRead');
            expect(ops.indexOf('ReadVariableOp', last)).to.be.greaterThan(last + 1);
          }
          return result;
        });
        // of products of other numbers of rows
        known!.forEach((x, i) => expect(x).to.be.closeTo(unknown![i]!, 1e-6 * Math.abs(x)));
      });
    }

    /** A step of a weight of more than 2²⁰ numbers that a reshaped tensor shares: some of its numbers. */
    function moveLarge(side: 'left' | 'right'): number[] {
      return tf.tidy(() => {
        const [rows, columns, rank] = [2 ** 18 + 3, 5, 2];
        const r = side === 'left' ? [rank, columns] : [rows, rank];
        const [first, second, gradient] = [1, 2, 3].map((seed) =>
          tf.randomUniform(r, 0.5, 1, 'float32', seed),
        );
        const inputs = {variable: tf.fill([rows, columns], 4), first, second, gradient};
        const length = side === 'left' ? rows : columns;
        const basis = tf.randomNormal([length, rank], 0, 1, 'float32', 4);
        const shared = tf.reshape(inputs.variable, [-1]);
        const [variable] = runAdam({...inputs, basis}, {...attrs, side});
        expect(variable!.dataId).to.equal(inputs.variable.dataId);
        for (const x of [tf.min(shared), tf.max(shared)]) expect(x.dataSync()[0]).to.equal(4);
        const values = variable!.dataSync();
        return Array.from({length: 999}, (_, i) => values[i * 1313]!);
      });
    }

    /** Runs `f` by a binding that knows the op `DisableCopyOnRead`, or does not, and notes the ops. */
    function withCopyOnRead<T>(isKnown: boolean, f: () => T): {ops: string[]; result: T} {
      const backend = tf.backend() as unknown as NodeBackend;
      const {binding} = backend;
      const ops: string[] = [];
      // its own properties cannot be replaced
      backend.binding = Object.create(binding, {
        executeOp: {
          value: (...args: Parameters<NodeBackend['binding']['executeOp']>) => {
            if (!isKnown && args[0] === 'DisableCopyOnRead') throw new Error('no such op');
            ops.push(args[0]);
            return binding.executeOp(...args);
          },
        },
      }) as NodeBackend['binding'];
      try {
        return {result: f(), ops};
      } finally {
        backend.binding = binding;
      }
    }

    it('leaves its tensors as they were if TensorFlow refuses', async () => {
      await tf.setBackend('tensorflow');
      tf.tidy(() => {
        const [variable, first, second] = [1, 2, 3].map((value) => tf.fill([3, 2], value));
        const inputs = {variable, first, second};
        const refused = (): unknown =>
          runAdam({...inputs, gradient: tf.ones([5])}, {...attrs, decay: 1});
        expect(refused).to.throw();
        expect(Object.values(inputs).map((x) => x!.dataSync()[5])).to.deep.equal([1, 2, 3]);
        const {numTensors} = tf.memory();
        expect(refused).to.throw();
        expect(tf.memory().numTensors).to.equal(numTensors + 1); // the gradient
      });
    });
  });
});
