/**
 * Matrix products inside kernels. The scores need them: they watch a forward pass to see which weight is multiplied with which
 * input. LoRA adds to them.
 */
import type * as tf from '@tensorflow/tfjs-core';

/** Two inputs that a kernel multiplies unchanged: `x` `[rows, in]` and a weight `[in, out]`. */
export type Product = readonly [x: string, weight: string];

/** What is added to a product with a matrix W `[in, out]`: `x W + scale · (x a) b`, with `a` `[in, rank]` and `b` `[rank, out]`. */
export interface LowRankProduct {
  a: tf.Tensor;
  b: tf.Tensor;
  scale: number;
}

/** What is added to the products with a matrix; undefined if nothing is. */
export type LowRankProductOf = (matrix: tf.Tensor) => LowRankProduct | undefined;

/** By kernel, as kernels are registered: for the whole process. */
const declared = new Map<string, readonly Product[]>();
const addingKernels = new Set<string>();

/** Which kernels may run, by the products inside: all; those that declared them; those without any. */
let allowed: 'all' | 'declared' | 'without' = 'all';

/** What kernels that can do so have to add to their products; null if nothing, or if they cannot know it. */
let added: LowRankProductOf | null = null;

/** Declares all products inside a kernel. A kernel without a declaration counts as one that may hide products. */
export function declareProducts(kernelName: string, products: readonly Product[]): void {
  declared.set(kernelName, products);
}

/** The declared products of a kernel; undefined if none were declared. */
export function productsOf(kernelName: string): readonly Product[] | undefined {
  return declared.get(kernelName);
}

/**
 * Declares a kernel that adds low-rank products to those with its matrices. To one that is called NAME it takes `a` as the input
 * NAMEA, `b` as NAMEB, and the factor as the attribute NAMEScale.
 */
export function declareLowRankProducts(kernelName: string): void {
  addingKernels.add(kernelName);
}

/** Runs `body` without the kernels that may hide products. */
export function withVisibleProducts<T>(body: () => T): T {
  return withOnly('declared', null, body);
}

/**
 * Runs `body` so that each product with a weight is an op of its own.
 *
 * @param lowRank If it is given, kernels that add low-rank products may run as well. Whoever calls one has to give it those that
 *   {@link lowRankProduct} tells.
 */
export function withSeparateProducts<T>(body: () => T, lowRank: LowRankProductOf | null = null): T {
  return withOnly('without', lowRank, body);
}

/** Weights to whose products something is added. */
const separate = new WeakSet();

/**
 * Declares that something is added to each product with a weight: an op may not have one in it, wherever it is called.
 *
 * @returns A function that takes that back.
 */
export function separateProductsWith(weight: object): () => void {
  separate.add(weight);
  return () => void separate.delete(weight);
}

/** Whether a product with a weight must be an op of its own, see {@link separateProductsWith}. */
export function hasSeparateProducts(weight: object): boolean {
  return separate.has(weight);
}

function withOnly<T>(kernels: typeof allowed, lowRank: typeof added, body: () => T): T {
  const before = [allowed, added] as const;
  [allowed, added] = [kernels, lowRank];
  try {
    return body();
  } finally {
    [allowed, added] = before;
  }
}

/** What a kernel that runs now has to add to its products with a matrix. */
export function lowRankProduct(matrix: tf.Tensor): LowRankProduct | undefined {
  return added?.(matrix);
}

/** Whether a kernel may run now, see {@link withVisibleProducts} and {@link withSeparateProducts}. */
export function mayRun(kernelName: string): boolean {
  if (allowed === 'all' || (added && addingKernels.has(kernelName))) return true;
  const products = declared.get(kernelName);
  return products !== undefined && (allowed === 'declared' || products.length === 0);
}

/** Whether an op may not have a product with a weight in it, see {@link withSeparateProducts}. */
export function areProductsSeparate(): boolean {
  return allowed === 'without';
}
