import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import * as fused from '../../src/kernels/llama/kernel_names';
import * as composed from '../../tools/composed';
import {
  expectSameKernel,
  gradients,
  randomOperand,
  scaled,
  seeds,
  type Comparison,
  type Operand,
  type Run,
  type Tensors,
} from './wasm/compare';

/** Sizes of attention with its projections. */
export interface AttentionCase {
  batch: number;
  keyHeads: number;
  /** Heads of queries for each of keys. */
  group: number;
  length: number;
  /** Of a head, an even number. */
  width: number;
  /** What queries, keys and values are projected from. */
  hidden: number;
  isBiased: boolean;
  window: number | null;
  /** Of the kernel that makes queries. */
  scale: number;
  /** Whether kernels and biases have gradients, too. */
  withKernelGradients: boolean;
  seed: number;
}

/** What of a case's is drawn alike for all backends; sizes at which a kernel does something else are its own. */
export const anyAttention = {
  batch: fc.constantFrom(1, 2),
  keyHeads: fc.constantFrom(1, 2),
  group: fc.constantFrom(1, 3),
  isBiased: fc.boolean(),
  withKernelGradients: fc.boolean(),
  seed: seeds,
};

/** A case's operands, under the names that kernels have for them, and attention composed of tfjs's ops. */
export function attentionOf(given: AttentionCase) {
  const {batch, keyHeads, group, length, width, hidden, isBiased, window, scale, seed} = given;
  const heads = keyHeads * group;
  const rows = batch * length;
  const attrs: fused.OwLoreAttentionAttrs = {heads, keyHeads, ...(window !== null && {window})};
  const angles = randomOperand([length, width / 2], seed + 1);
  const turned = (f: (angle: number) => number): Operand => ({
    shape: angles.shape,
    values: Float32Array.from(angles.values, (angle) => f(4 * angle)),
  });
  const columns = [heads, keyHeads, keyHeads].map((count) => count * width);
  const [q, k, v] = columns.map((size, i) =>
    scaled([hidden, size], seed + 2 + i, i === 0 ? scale : 1),
  ) as [Operand, Operand, Operand];
  const [qBias, kBias, vBias] = columns.map((size, i) => randomOperand([size], seed + 5 + i)) as [
    Operand,
    Operand,
    Operand,
  ];
  return {
    attrs,
    /** Of what goes in, and of what comes out. */
    shapes: {x: [rows, hidden], y: [rows, heads * width]},
    weights: {q, k, v, ...(isBiased && {qBias, kBias, vBias})},
    table: {cos: turned(Math.cos), sin: turned(Math.sin)},
    /** `x`, the weights, cosines and sines to `y`. */
    composed: (...inputs: Tensors): tf.Tensor => {
      const [x, ...weights] = inputs.slice(0, -2) as [tf.Tensor, ...Tensors];
      const [cos, sin] = inputs.slice(-2) as [tf.Tensor, tf.Tensor];
      const [queries, keys, values] = weights.slice(0, 3).map((kernel, i) => {
        const product = tf.matMul(x, kernel);
        const bias = weights[3 + i];
        const projected = bias ? tf.add(product, bias) : product;
        return tf.reshape(projected, [batch, length, -1, width]);
      }) as [tf.Tensor, tf.Tensor, tf.Tensor];
      const y = composed.selfAttention(queries, keys, values, {cos, sin}, window);
      return tf.reshape(y, [rows, heads * width]);
    },
  };
}

/** The results of `OwLoreAttentionGrad` after `OwLoreAttention`. */
export function attentionGradients(
  run: Run,
  dy: tf.Tensor,
  inputs: tf.NamedTensorMap,
  attrs: fused.OwLoreAttentionGradAttrs,
): Tensors {
  const [y, queries, keys, values] = run(fused.OwLoreAttention, inputs, attrs);
  const results = {y: y!, queries: queries!, keys: keys!, values: values!};
  return run(fused.OwLoreAttentionGrad, {dy, ...inputs, ...results}, attrs);
}

/** Compares the kernels of attention and of its gradients with what is composed. */
export async function expectSameAttention(
  given: AttentionCase,
  run: Run,
  tolerance: {value: Comparison; gradients: Comparison},
): Promise<void> {
  const {attrs, shapes, weights, table, composed} = attentionOf(given);
  const operands = {x: randomOperand(shapes.x, given.seed), ...weights, ...table};
  const names = Object.keys(operands);
  const named = (inputs: Tensors): tf.NamedTensorMap =>
    Object.fromEntries(inputs.map((input, i) => [names[i]!, input]));
  await expectSameKernel(
    Object.values(operands),
    (...inputs) => run(fused.OwLoreAttention, named(inputs), attrs).slice(0, 1),
    (...inputs) => [composed(...inputs)],
    tolerance.value,
  );
  const {withKernelGradients} = given;
  await expectSameKernel(
    [randomOperand(shapes.y, given.seed + 9), ...Object.values(operands)],
    (dy, ...inputs) => attentionGradients(run, dy, named(inputs), {...attrs, withKernelGradients}),
    (dy, ...inputs) => {
      const [x, rest] = [inputs.slice(0, -2), inputs.slice(-2)];
      const all = gradients((...x) => composed(...x, ...rest))(dy, ...x);
      return withKernelGradients ? all : all.slice(0, 1);
    },
    tolerance.gradients,
  );
}
