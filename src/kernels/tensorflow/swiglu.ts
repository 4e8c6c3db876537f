import type {OwLoreSwiGLUGradAttrs} from '../llama/kernel_names';
import type {NativeKernel} from './kernel';

// Not (gate · σ(gate)) · up: in a graph, TensorFlow makes one op of the inner product, which rounds differently, and the first
// steps of a process, which run op by op, would differ from the later ones.
export const swiglu: NativeKernel<object> = (ops, {gate, up}) =>
  ops.mul(ops.mul(gate!, up!), ops.run('Sigmoid', [gate!]));

export const swigluGrad: NativeKernel<OwLoreSwiGLUGradAttrs> = (ops, inputs, {withValue}) => {
  const [dy, gate, up] = [inputs['dy']!, inputs['gate']!, inputs['up']!];
  const sigmoid = ops.run('Sigmoid', [gate]);
  const [dUp, ...values] = ops.scope(() => {
    const silu = ops.mul(gate, sigmoid);
    return [ops.mul(dy, silu), ...(withValue ? [ops.mul(silu, up)] : [])];
  });
  // d silu(z) = σ(z) + z·σ(z)·(1 − σ(z)); TensorFlow has the second term in one op.
  const slope = ops.scope(() => ops.add(sigmoid, ops.run('SigmoidGrad', [sigmoid, gate])));
  return [ops.mul(ops.mul(dy, up), slope), dUp, ...values];
};
