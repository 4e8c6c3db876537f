import type {NativeKernel} from './native_ops';

export const swiglu: NativeKernel<object> = (ops, {gate, up}) =>
  ops.mul(ops.mul(gate!, ops.run('Sigmoid', [gate!])), up!);

export const swigluGrad: NativeKernel<object> = (ops, inputs) => {
  const [dy, gate, up] = [inputs['dy']!, inputs['gate']!, inputs['up']!];
  const sigmoid = ops.run('Sigmoid', [gate]);
  const dUp = ops.scope(() => ops.mul(dy, ops.mul(gate, sigmoid)));
  // d silu(z) = σ(z) + z·σ(z)·(1 − σ(z)); TensorFlow has the second term in one op.
  const slope = ops.scope(() => ops.add(sigmoid, ops.run('SigmoidGrad', [sigmoid, gate])));
  return [ops.mul(ops.mul(dy, up), slope), dUp];
};
