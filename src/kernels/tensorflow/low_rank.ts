import type {NativeInputs} from './kernel';
import type {Native, NativeOps} from './native_ops';

/*
 * Products with the matrices of a kernel's inputs, to which low-rank products may be added: with a matrix W called NAME that is
 * x W + NAMEScale · (x A) B, if there are inputs A `[in, rank]` called NAMEA and B `[rank, out]` called NAMEB. W + A B is never made:
 * for few rows that would take as long as their product with W, and its gradient would be as large as W.
 */

/** Attributes NAMEScale. */
type Scales = object;

/** Those of the matrices that have low-rank products. */
export function withLowRank<Name extends string>(
  inputs: NativeInputs,
  names: readonly Name[],
): Name[] {
  return names.filter((name) => inputs[`${name}A`]);
}

/** Rows times a matrix, with its low-rank product. */
export function product(
  ops: NativeOps,
  inputs: NativeInputs,
  name: string,
  x: Native,
  attrs: Scales,
): Native {
  if (!inputs[`${name}A`]) return ops.matMul(x, inputs[name]!);
  return ops.scope(() => {
    const added = ops.matMul(scaledInner(ops, inputs, name, x, attrs), inputs[`${name}B`]!);
    return ops.add(ops.matMul(x, inputs[name]!), added);
  });
}

/** `NAMEScale · x A`, `[rows, rank]`. */
export function scaledInner(
  ops: NativeOps,
  inputs: NativeInputs,
  name: string,
  x: Native,
  attrs: Scales,
): Native {
  return ops.scope(() =>
    ops.mul(ops.matMul(x, inputs[`${name}A`]!), ops.scalar(scaleOf(name, attrs))),
  );
}

/** The gradient of {@link product} by the rows. */
export function productGrad(
  ops: NativeOps,
  inputs: NativeInputs,
  name: string,
  dy: Native,
  attrs: Scales,
): Native {
  const dx = (): Native => ops.matMul(dy, inputs[name]!, false, true);
  if (!inputs[`${name}A`]) return dx();
  return ops.scope(() => ops.add(dx(), lowRankGrad(ops, inputs, name, dy, attrs)));
}

/** The gradient of a low-rank product alone by the rows. */
export function lowRankGrad(
  ops: NativeOps,
  inputs: NativeInputs,
  name: string,
  dy: Native,
  attrs: Scales,
): Native {
  return ops.scope(() => {
    const dInner = innerGrad(ops, inputs, name, dy, attrs);
    return ops.matMul(dInner, inputs[`${name}A`]!, false, true);
  });
}

/** The gradients of {@link product} by A and B. */
export function lowRankGrads(
  ops: NativeOps,
  inputs: NativeInputs,
  name: string,
  x: Native,
  dy: Native,
  attrs: Scales,
): [dA: Native, dB: Native] {
  return ops.scope(() => [
    ops.matMul(x, innerGrad(ops, inputs, name, dy, attrs), true),
    ops.matMul(scaledInner(ops, inputs, name, x, attrs), dy, true),
  ]);
}

/** The gradient by `x A`; in a graph TensorFlow computes it once for {@link lowRankGrad} and {@link lowRankGrads}. */
function innerGrad(
  ops: NativeOps,
  inputs: NativeInputs,
  name: string,
  dy: Native,
  attrs: Scales,
): Native {
  return ops.scope(() =>
    ops.mul(ops.matMul(dy, inputs[`${name}B`]!, false, true), ops.scalar(scaleOf(name, attrs))),
  );
}

function scaleOf(name: string, attrs: Scales): number {
  return (attrs as Record<string, number>)[`${name}Scale`]!;
}
