/** What the gradient functions of tfjs-core read of the tensors that they have saved; seen in 4.22. */
import * as tf from '@tensorflow/tfjs-core';

/**
 * Kernels whose gradient function looks at the shapes of what it saved and at nothing else. A gradient function that passes
 * a saved tensor on to a kernel does not belong here, even if that kernel's cpu version needs the shape alone.
 */
const shapeOnlyKernels = new Set([
  tf.Add,
  tf.Concat,
  tf.Cumsum,
  tf.Mean,
  tf.MirrorPad,
  tf.OneHot,
  tf.Pack,
  tf.PadV2,
  tf.Reshape,
  tf.Slice,
  tf.Sub,
  tf.Sum,
]);

/** Kernels with two factors: the gradient of each reads the other. */
const products: Record<string, [string, string]> = {
  [tf.BatchMatMul]: ['a', 'b'],
  [tf.Multiply]: ['a', 'b'],
  [tf.Conv2D]: ['x', 'filter'],
  [tf.DepthwiseConv2dNative]: ['x', 'filter'],
};

/**
 * Whether a kernel's gradient function will read the value of its input `name`, when only the gradients of `tracked`
 * inputs are asked for.
 */
export function readsInput(
  kernel: string,
  name: string,
  tracked: ReadonlySet<string>,
  attrs: tf.NamedAttrMap | undefined,
): boolean {
  if (shapeOnlyKernels.has(kernel)) return false;
  const factors = products[kernel];
  if (factors?.includes(name)) return tracked.has(factors[0] === name ? factors[1] : factors[0]);
  if (kernel === tf.RealDiv && name === 'a') return tracked.has('b');
  if (kernel === tf.GatherV2 && name === 'x') return attrs?.['batchDims'] === 1;
  return true;
}
