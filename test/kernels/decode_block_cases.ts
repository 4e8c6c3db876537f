import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import {OwLoreDecodeBlock} from '../../src/kernels/llama/kernel_names';
import * as composed from '../../tools/composed';
import {
  expectSameKernel,
  randomOperand,
  scaled,
  seeds,
  type Operand,
  type Run,
  type Tensors,
} from './wasm/compare';

const EPSILON = 1e-5;

/** Sizes of a block, and of what its cache has. */
export const decodeBlockCases = fc.record({
  rows: fc.constantFrom(1, 2, 3, 9),
  keyHeads: fc.constantFrom(1, 2),
  group: fc.constantFrom(1, 3),
  width: fc.constantFrom(2, 8, 10, 64),
  // short rows, and such as are multiplied in two halves
  hidden: fc.constantFrom(5, 16, 300),
  intermediate: fc.constantFrom(1, 6, 258),
  positions: fc.constantFrom(0, 1, 2, 17, 130),
  recent: fc.constantFrom(0, 1, 3, 9),
  isBiased: fc.boolean(),
  /** Whether rows have seen more and fewer positions. */
  isPadded: fc.boolean(),
  seed: seeds,
});

/** A block's next position of each row by whole sequences, one row after the other: each has only the keys that it sees. */
function composedBlock(
  inputs: tf.NamedTensorMap,
  [heads, keyHeads]: [number, number],
): [y: tf.Tensor, keys: tf.Tensor, values: tf.Tensor] {
  const given = (name: string): tf.Tensor => inputs[name]!;
  const rows = given('x').shape[0];
  const width = 2 * given('cos').shape[1]!;
  const normalized = composed.rmsNorm(given('x'), given('norm'), EPSILON);
  const [q, k, v] = ['q', 'k', 'v'].map((name) => {
    const product = tf.matMul(normalized, given(name));
    const biased = inputs[`${name}Bias`] ? tf.add(product, given(`${name}Bias`)) : product;
    return tf.reshape(biased, [rows, -1, 1, width]);
  }) as [tf.Tensor, tf.Tensor, tf.Tensor];
  const turned = (x: tf.Tensor): tf.Tensor => {
    const [cos, sin] = ['cos', 'sin'].map((name) => tf.reshape(given(name), [-1, 1, 1, width / 2]));
    return composed.rotate(x, {cos: cos!, sin: sin!});
  };
  const keys = tf.concat([given('recentKeys'), turned(k)], 2);
  const values = tf.concat([given('recentValues'), v], 2);
  const padding = inputs['padding'] ? given('padding').dataSync() : new Int32Array(rows);
  const mixed = Array.from({length: rows}, (_, row) => {
    const all = (earlier: string, recent: tf.Tensor): tf.Tensor => {
      const [, , positions] = given(earlier).shape as [number, number, number];
      const from = padding[row]!;
      const seen = tf.slice(given(earlier), [row, 0, from, 0], [1, -1, positions - from, -1]);
      return tf.squeeze(tf.concat([seen, tf.slice(recent, [row], [1])], 2), [0]);
    };
    const queries = tf.reshape(tf.slice(turned(q), [row], [1]), [keyHeads, -1, 1, width]);
    const mixed = composed.causalAttention(queries, all('keys', keys), all('values', values));
    return tf.reshape(mixed, [1, heads * width]);
  });
  const attended = tf.add(given('x'), tf.matMul(tf.concat(mixed, 0), given('o')));
  const hidden = composed.rmsNorm(attended, given('mlpNorm'), EPSILON);
  const [gate, up] = ['gate', 'up'].map((name) => tf.matMul(hidden, given(name)));
  const y = tf.add(attended, tf.matMul(composed.swiglu(gate!, up!), given('down')));
  return [y, keys, values];
}

/** Compares the kernel with what is composed. */
export async function expectSameDecodeBlock(
  given: typeof decodeBlockCases extends fc.Arbitrary<infer T> ? T : never,
  run: Run,
  backend: 'wasm' | 'tensorflow',
): Promise<void> {
  const {rows, keyHeads, group, width, hidden, intermediate, positions, recent, seed} = given;
  const heads = keyHeads * group;
  const [queries, keys] = [heads * width, keyHeads * width];
  let next = seed;
  const random = (...shape: number[]): Operand => randomOperand(shape, next++);
  // products of rows of numbers about 1
  const kernel = (inner: number, columns: number): Operand =>
    scaled([inner, columns], next++, inner ** -0.5);
  const angles = random(given.isPadded ? rows : 1, width / 2);
  const turned = (f: (angle: number) => number): Operand => ({
    shape: angles.shape,
    values: Float32Array.from(angles.values, (angle) => f(4 * angle)),
  });
  const [earlier, later] = [
    [rows, keyHeads, positions, width],
    [rows, keyHeads, recent, width],
  ] as const;
  const operands: Record<string, Operand> = {
    ...{x: random(rows, hidden), norm: random(hidden)},
    ...{q: kernel(hidden, queries), k: kernel(hidden, keys), v: kernel(hidden, keys)},
    o: kernel(queries, hidden),
    ...(given.isBiased && {qBias: random(queries), kBias: random(keys), vBias: random(keys)}),
    ...{mlpNorm: random(hidden), gate: kernel(hidden, intermediate)},
    ...{up: kernel(hidden, intermediate), down: kernel(intermediate, hidden)},
    ...{cos: turned(Math.cos), sin: turned(Math.sin)},
    ...{keys: random(...earlier), values: random(...earlier)},
    ...{recentKeys: random(...later), recentValues: random(...later)},
    ...(given.isPadded && {
      padding: {
        shape: [rows],
        values: Int32Array.from({length: rows}, (_, i) => (i * 7) % (positions + 1)),
      },
    }),
  };
  const names = Object.keys(operands);
  const named = (inputs: Tensors): tf.NamedTensorMap =>
    Object.fromEntries(inputs.map((input, i) => [names[i]!, input]));
  await expectSameKernel(
    Object.values(operands),
    (...inputs) =>
      run(OwLoreDecodeBlock, named(inputs), {heads, keyHeads, intermediate, epsilon: EPSILON}),
    (...inputs) => composedBlock(named(inputs), [heads, keyHeads]),
    {backend, rtol: 5e-5, atol: 1e-5},
  );
}
