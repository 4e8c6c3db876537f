/**
 * Matrix products inside kernels. The scores need them: they watch a forward pass to see which weight is multiplied with which
 * input. LoRA adds to them.
 */

/** Two inputs that a kernel multiplies unchanged: `x` `[rows, in]` and a weight `[in, out]`. */
export type Product = readonly [x: string, weight: string];

const declared = new Map<string, readonly Product[]>();

/** Which kernels may run, by the products inside: all; those that declared them; those without any. */
let allowed: 'all' | 'declared' | 'without' = 'all';

/** Declares all products inside a kernel. A kernel without a declaration counts as one that may hide products. */
export function declareProducts(kernelName: string, products: readonly Product[]): void {
  declared.set(kernelName, products);
}

/** The declared products of a kernel; undefined if none were declared. */
export function productsOf(kernelName: string): readonly Product[] | undefined {
  return declared.get(kernelName);
}

/** Runs `body` without the kernels that may hide products. */
export function withVisibleProducts<T>(body: () => T): T {
  return withOnly('declared', body);
}

/** Runs `body` so that each product with a weight is an op of its own. */
export function withSeparateProducts<T>(body: () => T): T {
  return withOnly('without', body);
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

function withOnly<T>(kernels: typeof allowed, body: () => T): T {
  const before = allowed;
  allowed = kernels;
  try {
    return body();
  } finally {
    allowed = before;
  }
}

/** Whether a kernel may run now, see {@link withVisibleProducts} and {@link withSeparateProducts}. */
export function mayRun(kernelName: string): boolean {
  if (allowed === 'all') return true;
  const products = declared.get(kernelName);
  return products !== undefined && (allowed === 'declared' || products.length === 0);
}

/** Whether an op may not have a product with a weight in it, see {@link withSeparateProducts}. */
export function areProductsSeparate(): boolean {
  return allowed === 'without';
}
