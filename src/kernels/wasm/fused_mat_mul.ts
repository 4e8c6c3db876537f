import * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import {callKernel, withShape, type KernelArgs} from './kernel';

export type FusedMatMulArgs = KernelArgs<
  'a' | 'b',
  tf._FusedMatMulAttrs,
  'bias' | 'preluActivationWeights'
>;

type FusedMatMulKernel = (args: FusedMatMulArgs) => tf.TensorInfo;

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
 * _FusedMatMul: the stock kernel where it is fast and right (rows times one matrix, nothing transposed),
 * elsewhere product, bias and activation one after the other.
 *
 * @param stock the kernel that tfjs registers.
 */
export function createFusedMatMul(stock: FusedMatMulKernel): FusedMatMulKernel {
  return (args) => {
    const {inputs, backend, attrs} = args;
    const {a, b, bias} = inputs;
    const {transposeA, transposeB} = attrs;
    const [batch, rows, inner] = a.shape as [number, number, number];
    const oneMatrix = b.shape[0] === 1 && !transposeA && !transposeB;
    // The stock kernel reads a number of the bias for each column, whatever its size.
    const fits = !bias || (bias.shape.length === 1 && bias.shape[0] === b.shape[2]);
    if (oneMatrix && fits && batch * rows * inner * b.shape[2]! > 0) {
      const allRows = withShape(a, [1, batch * rows, inner]);
      const out = stock({...args, inputs: {...inputs, a: allRows}});
      out.shape = [batch, rows, b.shape[2]!];
      return out;
    }

    let out = callKernel(tf.BatchMatMul, backend, {a, b}, {transposeA, transposeB});
    if (bias) out = addBroadcast(backend, out, bias);
    return activate(args, out);
  };
}

/** `out` plus a bias of any shape, in its place. */
export function addBroadcast(
  backend: BackendWasm,
  out: tf.TensorInfo,
  bias: tf.TensorInfo,
): tf.TensorInfo {
  return replaced(backend, out, callKernel(tf.Add, backend, {a: out, b: bias}));
}

/** The activation of `out`, in its place. */
export function activate(
  {inputs, backend, attrs}: FusedMatMulArgs,
  out: tf.TensorInfo,
): tf.TensorInfo {
  const {activation, leakyreluAlpha} = attrs;
  if (activation === 'linear') return out;
  const kernel = ACTIVATIONS[activation];
  if (kernel === undefined) throw new Error(`_FusedMatMul: unknown activation '${activation}'`);
  const alpha = inputs.preluActivationWeights;
  const y = callKernel(kernel, backend, {x: out, alpha}, {alpha: leakyreluAlpha});
  return replaced(backend, out, y);
}

function replaced(backend: BackendWasm, old: tf.TensorInfo, by: tf.TensorInfo): tf.TensorInfo {
  backend.disposeData(old.dataId);
  return by;
}
