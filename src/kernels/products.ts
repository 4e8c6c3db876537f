/**
 * Matrix products inside kernels. The scores need them: they watch a forward pass to see which weight is multiplied with which
 * input.
 */

/** Two inputs that a kernel multiplies unchanged: `x` `[rows, in]` and a weight `[in, out]`. */
export type Product = readonly [x: string, weight: string];

const declared = new Map<string, readonly Product[]>();
let areVisible = false;

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
  const before = areVisible;
  areVisible = true;
  try {
    return body();
  } finally {
    areVisible = before;
  }
}

/** Whether a kernel may run now: inside {@link withVisibleProducts} only a kernel with declared products may. */
export function mayRun(kernelName: string): boolean {
  return !areVisible || declared.has(kernelName);
}
