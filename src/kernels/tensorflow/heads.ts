import type {OwLoreAttentionAttrs, OwLoreAttentionGradAttrs} from '../llama/kernel_names';
import type {NativeInputs} from './kernel';
import {lowRankGrad, lowRankGrads, product, scaledInner, withLowRank} from './low_rank';
import type {Native, NativeOps} from './native_ops';

/*
 * From the input of attention to queries, keys and values by heads, and from their gradients back. Heads are the first axis, so
 * that they can be split and joined without a copy; a product of the input with one kernel per head brings them there.
 */

/** Queries `[stack, group, length, width]`, keys and values `[stack, length, width]`; stack is keyHeads · batch. */
export type Heads = [q: Native, k: Native, v: Native];

export interface HeadSizes {
  batch: number;
  length: number;
  keyHeads: number;
  /** Query heads per key head. */
  group: number;
  width: number;
}

export function headSizes(
  inputs: NativeInputs,
  {heads, keyHeads}: OwLoreAttentionAttrs,
): HeadSizes {
  const [length, half] = inputs['cos']!.shape as [number, number];
  const batch = inputs['x']!.shape[0]! / length;
  return {batch, length, keyHeads, group: heads / keyHeads, width: 2 * half};
}

/** Queries, keys and values by heads. Queries and keys are rotated, and scaled so that their products can go into the softmax. */
export function projectToHeads(
  ops: NativeOps,
  inputs: NativeInputs,
  sizes: HeadSizes,
  attrs: object,
): Heads {
  const {batch, length, keyHeads, group, width} = sizes;
  const x = inputs['x']!;
  const [q, k] = ops.scope(() => {
    const products =
      withLowRank(inputs, ['q', 'k']).length > 0
        ? ops.concat(
            ['q', 'k'].map((name) => product(ops, inputs, name, x, attrs)),
            1,
          )
        : ops.matMul(x, ops.concat([inputs['q']!, inputs['k']!], 1));
    const biases = inputs['qBias'] && ops.concat([inputs['qBias'], inputs['kBias']!], 0);
    const projected = biases ? ops.add(products, biases) : products;
    const byTokens = ops.reshape(projected, [batch, length, -1, width]);
    const heads = [keyHeads * group, keyHeads];
    const [q, k] =
      group > 1
        ? ops.split(byTokens, heads, 2)
        : ops.split(ops.transpose(byTokens, [2, 0, 1, 3]), heads, 0);
    const queries =
      group > 1 ? toGroups(ops, q!, sizes) : ops.reshape(q!, [keyHeads * batch, 1, length, width]);
    const keys = asKeys(ops, group > 1 ? ops.transpose(k!, [2, 0, 1, 3]) : k!, sizes);
    const rotations = scaledRotations(ops, inputs);
    return [rotate(ops, queries, rotations), rotate(ops, keys, rotations)] as const;
  });
  const v = ops.scope(() => {
    const byHead = (matrix: Native): Native =>
      ops.transpose(ops.reshape(matrix, [-1, keyHeads, width]), [1, 0, 2]);
    const plain = ops.batchMatMul(x, byHead(inputs['v']!));
    const products = inputs['vA']
      ? ops.add(
          plain,
          ops.batchMatMul(scaledInner(ops, inputs, 'v', x, attrs), byHead(inputs['vB']!)),
        )
      : plain;
    const bias = inputs['vBias'] && ops.reshape(inputs['vBias'], [keyHeads, 1, width]);
    return asKeys(ops, bias ? ops.add(products, bias) : products, sizes);
  });
  return [q, k, v];
}

/**
 * The gradients by the input and, if asked for, by kernels and biases, or by A and B of the low-rank products if there are any, from the
 * gradients by the heads.
 */
export function projectToHeadsGrad(
  ops: NativeOps,
  inputs: NativeInputs,
  dHeads: () => Heads,
  sizes: HeadSizes,
  attrs: Pick<OwLoreAttentionGradAttrs, 'withKernelGradients'>,
): Native[] {
  const x = inputs['x']!;
  const {batch, length, keyHeads, width} = sizes;
  const dProjected = ops.scope(() => {
    const [dq, dk, dv] = dHeads();
    const dKeys = ops.reshape(dk, [keyHeads, batch, length, width]);
    const byHeads = ops.concat([headsFirst(ops, dq, sizes), dKeys], 0);
    const rotatedBack = rotate(ops, byHeads, inverse(ops, scaledRotations(ops, inputs)));
    const byTokens = ops.transpose(rotatedBack, [1, 2, 0, 3]);
    const parts = [ops.reshape(byTokens, [batch * length, -1]), toTokens(ops, dv, sizes)];
    return ops.concat(parts, 1);
  });
  const names = ['q', 'k', 'v'] as const;
  const kernels = names.map((name) => inputs[name]!);
  const columns = kernels.map(({shape}) => shape[1]!);
  const lowRank = withLowRank(inputs, names);
  const parts = lowRank.length > 0 ? ops.split(dProjected, columns, 1) : [];
  const partOf = (name: 'q' | 'k' | 'v'): Native => parts[names.indexOf(name)]!;
  const dx = ops.scope(() =>
    lowRank.reduce(
      (sum, name) => ops.add(sum, lowRankGrad(ops, inputs, name, partOf(name), attrs)),
      ops.matMul(dProjected, ops.concat(kernels, 1), false, true),
    ),
  );
  if (!attrs.withKernelGradients) return [dx];
  if (lowRank.length > 0) {
    const dLowRank = lowRank.flatMap((name) =>
      lowRankGrads(ops, inputs, name, x, partOf(name), attrs),
    );
    return [dx, ...dLowRank];
  }
  const dKernels = ops.split(ops.matMul(x, dProjected, true), columns, 1);
  if (!inputs['qBias']) return [dx, ...dKernels];
  const biasSums = ops.sum(dProjected, 0);
  const dBiases = ops
    .split(biasSums, columns, 1)
    .map((part, i) => ops.reshape(part, [columns[i]!]));
  return [dx, ...dKernels, ...dBiases];
}

/** The heads side by side for each token, `[batch · length, heads · width]`, from `[stack, (group,) length, width]`. */
export function toTokens(ops: NativeOps, x: Native, sizes: HeadSizes): Native {
  const {batch, length, keyHeads, width} = sizes;
  return ops.scope(() => {
    const stacked = ops.reshape(x, [keyHeads, batch, -1, length, width]);
    return ops.reshape(ops.transpose(stacked, [1, 3, 0, 2, 4]), [batch * length, -1]);
  });
}

/** The inverse, for all query heads: `[stack, group, length, width]`. */
export function toGroups(ops: NativeOps, x: Native, sizes: HeadSizes): Native {
  const {batch, length, keyHeads, group} = sizes;
  return ops.scope(() => {
    const byTokens = ops.reshape(x, [batch, length, keyHeads, group, -1]);
    const stacked = ops.transpose(byTokens, [2, 0, 3, 1, 4]);
    return ops.reshape(stacked, [keyHeads * batch, group, length, -1]);
  });
}

/** `[keyHeads, …]` as `[stack, length, width]`. */
function asKeys(ops: NativeOps, x: Native, {batch, length, keyHeads, width}: HeadSizes): Native {
  return ops.reshape(x, [keyHeads * batch, length, width]);
}

/** `[stack, group, length, width]` with all heads first, `[keyHeads · group, batch, length, width]`. */
function headsFirst(ops: NativeOps, x: Native, sizes: HeadSizes): Native {
  const {batch, length, keyHeads, group, width} = sizes;
  const stacked = ops.reshape(x, [keyHeads, batch, group, length, width]);
  const byHeads = ops.transpose(stacked, [0, 2, 1, 3, 4]);
  return ops.reshape(byHeads, [keyHeads * group, batch, length, width]);
}

/** For each position the cosines and sines of its angles, twice side by side, `[length, width]`. */
interface Rotations {
  cos: Native;
  sin: Native;
}

/** The rotations, times ⁴√(1/width), so that the products of queries and keys are divided by √width. */
function scaledRotations(ops: NativeOps, {cos, sin}: NativeInputs): Rotations {
  const scale = ops.scalar((2 * cos!.shape[1]!) ** -0.25);
  const twice = (table: Native): Native =>
    ops.scope(() => {
      const scaled = ops.mul(table, scale);
      return ops.concat([scaled, scaled], 1);
    });
  return {cos: twice(cos!), sin: twice(sin!)};
}

/** The rotations by the opposite angles, with the same scale. */
function inverse(ops: NativeOps, {cos, sin}: Rotations): Rotations {
  return {cos, sin: ops.run('Neg', [sin])};
}

/**
 * `x` `[…, length, width]` with the pairs of entries half of the width apart rotated: x ∘ cos + (x · J) ∘ sin, where J turns each
 * pair by a quarter. A product with J takes less time than to put the halves in another order.
 */
function rotate(ops: NativeOps, x: Native, {cos, sin}: Rotations): Native {
  return ops.scope(() => {
    const width = x.shape.at(-1)!;
    const turned = ops.reshape(
      ops.matMul(ops.reshape(x, [-1, width]), quarterTurn(ops, width)),
      x.shape,
    );
    return ops.add(ops.mul(x, cos), ops.mul(turned, sin));
  });
}

/** J `[width, width]`: row (a, b) times J is (−b, a) for halves a and b. */
function quarterTurn(ops: NativeOps, width: number): Native {
  const half = width / 2;
  const matrix = new Float32Array(width * width);
  for (let i = 0; i < half; i++) {
    matrix[i * width + (i + half)] = 1;
    matrix[(i + half) * width + i] = -1;
  }
  return ops.constant(matrix, [width, width]);
}
