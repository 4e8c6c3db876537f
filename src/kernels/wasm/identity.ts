import * as tf from '@tensorflow/tfjs-core';
import {share, type WasmKernel} from './kernel';

type IdentityKernel = WasmKernel<'x', object>;
type CastKernel = WasmKernel<'x', tf.CastAttrs>;

/**
 * Identity, and so `tf.clone`, without a copy: the result shares the input's memory, like the result of
 * the stock Reshape. That is safe because a kernel writes into an input only if the memory has no other
 * owner.
 *
 * @param stock the kernel that tfjs registers, which copies.
 */
export function createIdentity(stock: IdentityKernel): IdentityKernel {
  return (args) => shared(args) ?? stock(args);
}

/** Cast, without a copy if the input already has the type. */
export function createCast(stock: CastKernel): CastKernel {
  return (args) => (args.attrs.dtype === args.inputs.x.dtype ? shared(args) : null) ?? stock(args);
}

/** The input with another owner; null if that is not possible. */
function shared({inputs: {x}, backend}: Parameters<IdentityKernel>[0]): tf.TensorInfo | null {
  if (x.dtype === 'string') return null;
  // Stock kernels read the shape stored with the memory, which differs from the shape of x if x was
  // reshaped; then a copy is needed.
  const {shape} = backend.dataIdMap.get(x.dataId);
  if (!tf.util.arraysEqual(shape, x.shape)) return null;
  return share(backend, x);
}
