import * as tf from '@tensorflow/tfjs-core';
import {productsOf} from '../../kernels/products';
import type {KernelRun} from '../../tfjs/kernels';
import {conv2dUses, conv3dUses, transposedConv2dUses} from './convolution_uses';
import {einsumUses} from './einsum_uses';
import type {LinearUse} from './linear_use';
import {matMulUses} from './matmul_uses';

/** The ways to read a kernel's run as a linear map, where either operand may be the weight; none if it is not one. */
export function linearUses({name, inputs, attributes}: KernelRun): LinearUse[] {
  // A kernel's name decides which attributes it has; tfjs gives all the same type.
  switch (name) {
    case tf.BatchMatMul:
    case tf._FusedMatMul:
      return matMulUses(inputs as Record<'a' | 'b', tf.Tensor>, attributes);
    case tf.Conv2D:
    case tf.FusedConv2D:
    case tf.DepthwiseConv2dNative:
    case tf.FusedDepthwiseConv2D:
      return conv2dUses(
        inputs as Record<'x' | 'filter', tf.Tensor>,
        attributes as unknown as tf.Conv2DAttrs,
      );
    case tf.Conv3D:
      return conv3dUses(
        inputs as Record<'x' | 'filter', tf.Tensor>,
        attributes as unknown as tf.Conv3DAttrs,
      );
    case tf.Conv2DBackpropInput:
      return transposedConv2dUses(inputs as Record<'dy' | 'filter', tf.Tensor>);
    case tf.Einsum:
      return einsumUses(inputs, attributes as unknown as tf.EinsumAttrs);
    default:
      return (productsOf(name) ?? []).flatMap(([x, weight]) =>
        matMulUses({a: inputs[x]!, b: inputs[weight]!}),
      );
  }
}
