/**
 * Products of matrices inside of kernels, for who watches a forward pass to see which weight meets which input: the scores.
 */

/** Two inputs of a kernel that it multiplies as they are: `x` `[rows, in]` and a weight `[in, out]`. */
export type Product = readonly [x: string, weight: string];

const declared = new Map<string, readonly Product[]>();
let areVisible = false;

/** Declares all products inside of a kernel. A kernel of which nothing is declared counts as one that may hide some. */
export function declareProducts(kernelName: string, products: readonly Product[]): void {
  declared.set(kernelName, products);
}

/** What was declared of a kernel; undefined if nothing was. */
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

/** Whether a kernel may run now: inside of {@link withVisibleProducts} only one whose products are declared. */
export function mayRun(kernelName: string): boolean {
  return !areVisible || declared.has(kernelName);
}
