/**
 * Products of matrices inside of kernels, for who watches a forward pass to see which weight meets which input: the scores.
 */

/** Two inputs of a kernel that it multiplies as they are: `x` `[rows, in]` and a weight `[in, out]`. */
export type Product = readonly [x: string, weight: string];

const declared = new Map<string, readonly Product[]>();
let areVisible = false;

/** Says which products are in a kernel. All of them, or it must not: a kernel that says nothing may hide some. */
export function declareProducts(kernelName: string, products: readonly Product[]): void {
  declared.set(kernelName, products);
}

/** What was declared of a kernel; undefined if nothing was. */
export function productsOf(kernelName: string): readonly Product[] | undefined {
  return declared.get(kernelName);
}

/** Runs `body`, in which no product may be hidden in a kernel of this library's. */
export function withVisibleProducts<T>(body: () => T): T {
  const before = areVisible;
  areVisible = true;
  try {
    return body();
  } finally {
    areVisible = before;
  }
}

/** Whether a kernel may run now: not one that may hide products while they are to be visible. */
export function mayRun(kernelName: string): boolean {
  return !areVisible || declared.has(kernelName);
}
