import * as tf from '@tensorflow/tfjs-core';
import type {WasmKernel} from './kernel';

type IdentityKernel = WasmKernel<'x', object>;
type CastKernel = WasmKernel<'x', tf.CastAttrs>;

/**
 * Identity, and so `tf.clone`, without a copy: the result shares the input's memory, as that of the
 * stock Reshape does. No kernel writes into its inputs; one that did would have to look whether it
 * is the memory's only owner.
 *
 * @param stock the kernel that tfjs registers; copies.
 */
export function createIdentity(stock: IdentityKernel): IdentityKernel {
  return (args) => share(args) ?? stock(args);
}

/** Cast to the type that the input has, without a copy. */
export function createCast(stock: CastKernel): CastKernel {
  return (args) => (args.attrs.dtype === args.inputs.x.dtype ? share(args) : null) ?? stock(args);
}

function share({inputs: {x}, backend}: Parameters<IdentityKernel>[0]): tf.TensorInfo | null {
  if (x.dtype === 'string') return null;
  // Stock kernels read the shape that belongs to the memory, which is not x's own where x was
  // reshaped: a copy sets that right.
  const {shape} = backend.dataIdMap.get(x.dataId);
  if (!tf.util.arraysEqual(shape, x.shape)) return null;
  backend.incRef(x.dataId);
  return {dataId: x.dataId, shape: x.shape, dtype: x.dtype};
}
