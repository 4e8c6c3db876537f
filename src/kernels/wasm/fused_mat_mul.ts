import * as tf from '@tensorflow/tfjs-core';
import {callKernel, withShape, type WasmKernel} from './kernel';

type FusedMatMulKernel = WasmKernel<
  'a' | 'b',
  tf._FusedMatMulAttrs,
  'bias' | 'preluActivationWeights'
>;

/** The kernel of each activation; `prelu` and `leakyrelu` also take a parameter. */
const ACTIVATIONS: Readonly<Record<string, string>> = {
  relu: tf.Relu,
  relu6: tf.Relu6,
  elu: tf.Elu,
  sigmoid: tf.Sigmoid,
  prelu: tf.Prelu,
  leakyrelu: tf.LeakyRelu,
};

/**
 * _FusedMatMul: the stock kernel where it is fast (rows times one matrix, nothing transposed),
 * elsewhere product, bias and activation one after the other.
 *
 * @param stock the kernel that tfjs registers.
 */
export function createFusedMatMul(stock: FusedMatMulKernel): FusedMatMulKernel {
  return (args) => {
    const {inputs, backend, attrs} = args;
    const {a, b, bias, preluActivationWeights} = inputs;
    const {transposeA, transposeB, activation, leakyreluAlpha} = attrs;
    const [batch, rows, inner] = a.shape as [number, number, number];
    const oneMatrix = b.shape[0] === 1 && !transposeA && !transposeB;
    if (oneMatrix && batch * rows * inner * b.shape[2]! > 0) {
      const allRows = withShape(a, [1, batch * rows, inner]);
      const out = stock({...args, inputs: {...inputs, a: allRows}});
      out.shape = [batch, rows, b.shape[2]!];
      return out;
    }

    let out = callKernel(tf.BatchMatMul, backend, {a, b}, {transposeA, transposeB});
    const replaceWith = (result: tf.TensorInfo): void => {
      backend.disposeData(out.dataId);
      out = result;
    };
    if (bias) replaceWith(callKernel(tf.Add, backend, {a: out, b: bias}));
    if (activation !== 'linear') {
      const kernel = ACTIVATIONS[activation];
      if (kernel === undefined) throw new Error(`_FusedMatMul: unknown activation '${activation}'`);
      const alpha = preluActivationWeights;
      replaceWith(callKernel(kernel, backend, {x: out, alpha}, {alpha: leakyreluAlpha}));
    }
    return out;
  };
}
