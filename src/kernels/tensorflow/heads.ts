import type {OwLoreAttentionAttrs, OwLoreAttentionGradAttrs} from '../llama_kernel_names';
import type {NativeInputs} from './kernel';
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
export function projectToHeads(ops: NativeOps, inputs: NativeInputs, sizes: HeadSizes): Heads {
  const {batch, length, keyHeads, group, width} = sizes;
  const x = inputs['x']!;
  const [q, k] = ops.scope(() => {
    const products = ops.matMul(x, ops.concat([inputs['q']!, inputs['k']!], 1));
    const biases = inputs['qBias'] && ops.concat([inputs['qBias'], inputs['kBias']!], 0);
    const projected = biases ? ops.add(products, biases) : products;
    const ofTokens = ops.reshape(projected, [batch, length, -1, width]);
    const rotated = ops.batchMatMul(ofTokens, scaledRotations(ops, inputs));
    const heads = [keyHeads * group, keyHeads];
    if (group > 1) {
      // Queries are copied once more, and keys too, because otherwise they would hold the memory of both.
      const [q, k] = ops.split(rotated, heads, 2);
      return [
        toGroups(ops, q!, sizes),
        asKeys(ops, ops.transpose(k!, [2, 0, 1, 3]), sizes),
      ] as const;
    }
    const [q, k] = ops.split(ops.transpose(rotated, [2, 0, 1, 3]), heads, 0);
    const queries = ops.reshape(q!, [keyHeads * batch, 1, length, width]);
    return [queries, asKeys(ops, k!, sizes)] as const;
  });
  const v = ops.scope(() => {
    const ofHeads = ops.reshape(inputs['v']!, [-1, keyHeads, width]);
    const products = ops.batchMatMul(x, ops.transpose(ofHeads, [1, 0, 2]));
    const bias = inputs['vBias'] && ops.reshape(inputs['vBias'], [keyHeads, 1, width]);
    return asKeys(ops, bias ? ops.add(products, bias) : products, sizes);
  });
  return [q, k, v];
}

/** The gradients by the input and, if asked for, by kernels and biases, from the gradients by the heads. */
export function projectToHeadsGrad(
  ops: NativeOps,
  inputs: NativeInputs,
  dHeads: () => Heads,
  sizes: HeadSizes,
  {ofKernels}: Pick<OwLoreAttentionGradAttrs, 'ofKernels'>,
): Native[] {
  const x = inputs['x']!;
  const {batch, length, keyHeads, width} = sizes;
  const dProjected = ops.scope(() => {
    const [dq, dk, dv] = dHeads();
    const ofKeys = ops.reshape(dk, [keyHeads, batch, length, width]);
    const byHeads = ops.concat([headsFirst(ops, dq, sizes), ofKeys], 0);
    const ofTokens = ops.transpose(byHeads, [1, 2, 0, 3]);
    const rotatedBack = ops.batchMatMul(ofTokens, scaledRotations(ops, inputs), false, true);
    const parts = [ops.reshape(rotatedBack, [batch * length, -1]), toTokens(ops, dv, sizes)];
    return ops.concat(parts, 1);
  });
  const kernels = ['q', 'k', 'v'].map((name) => inputs[name]!);
  const dx = ops.scope(() => ops.matMul(dProjected, ops.concat(kernels, 1), false, true));
  if (!ofKernels) return [dx];
  const columns = kernels.map(({shape}) => shape[1]!);
  const dKernels = ops.split(ops.matMul(x, dProjected, true), columns, 1);
  if (!inputs['qBias']) return [dx, ...dKernels];
  const ofBiases = ops.sum(dProjected, 0);
  const dBiases = ops
    .split(ofBiases, columns, 1)
    .map((part, i) => ops.reshape(part, [columns[i]!]));
  return [dx, ...dKernels, ...dBiases];
}

/** The heads side by side for each token, `[batch · length, heads · width]`, from `[stack, (group,) length, width]`. */
export function toTokens(ops: NativeOps, x: Native, sizes: HeadSizes): Native {
  const {batch, length, keyHeads, width} = sizes;
  return ops.scope(() => {
    const ofStack = ops.reshape(x, [keyHeads, batch, -1, length, width]);
    return ops.reshape(ops.transpose(ofStack, [1, 3, 0, 2, 4]), [batch * length, -1]);
  });
}

/** The inverse, for all query heads: `[stack, group, length, width]`. */
export function toGroups(ops: NativeOps, x: Native, sizes: HeadSizes): Native {
  const {batch, length, keyHeads, group} = sizes;
  return ops.scope(() => {
    const ofTokens = ops.reshape(x, [batch, length, keyHeads, group, -1]);
    const ofStack = ops.transpose(ofTokens, [2, 0, 3, 1, 4]);
    return ops.reshape(ofStack, [keyHeads * batch, group, length, -1]);
  });
}

/** `[keyHeads, …]` as `[stack, length, width]`. */
function asKeys(ops: NativeOps, x: Native, {batch, length, keyHeads, width}: HeadSizes): Native {
  return ops.reshape(x, [keyHeads * batch, length, width]);
}

/** `[stack, group, length, width]` with all heads first, `[keyHeads · group, batch, length, width]`. */
function headsFirst(ops: NativeOps, x: Native, sizes: HeadSizes): Native {
  const {batch, length, keyHeads, group, width} = sizes;
  const ofStack = ops.reshape(x, [keyHeads, batch, group, length, width]);
  const byHeads = ops.transpose(ofStack, [0, 2, 1, 3, 4]);
  return ops.reshape(byHeads, [keyHeads * group, batch, length, width]);
}

/** The rotation matrix of each position, times ⁴√(1/width), so that the products of queries and keys are divided by √width. */
function scaledRotations(ops: NativeOps, inputs: NativeInputs): Native {
  const matrices = rotations(ops, inputs['cos']!, inputs['sin']!);
  return ops.mul(matrices, ops.scalar(matrices.shape[2]! ** -0.25));
}

/**
 * For each position the matrix `[width, width]` that rotates a row vector by its angles: `[length, width, width]` from cosines
 * and sines `[length, width / 2]`. Its transpose rotates back.
 */
function rotations(ops: NativeOps, cos: Native, sin: Native): Native {
  const [length, half] = cos.shape as [number, number];
  const width = 2 * half;
  const inColumns = (table: Native, signs: Float32Array): Native =>
    ops.scope(() => {
      const columns = ops.reshape(ops.concat([table, table], 1), [length, 1, width]);
      return ops.mul(columns, ops.constant(signs, [width, width]));
    });
  const diagonal = new Float32Array(width * width);
  const acrossHalves = new Float32Array(width * width);
  for (let i = 0; i < width; i++) diagonal[i * width + i] = 1;
  for (let i = 0; i < half; i++) {
    acrossHalves[i * width + (i + half)] = 1;
    acrossHalves[(i + half) * width + i] = -1;
  }
  return ops.scope(() => ops.add(inColumns(cos, diagonal), inColumns(sin, acrossHalves)));
}
