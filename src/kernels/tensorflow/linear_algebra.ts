import type * as tf from '@tensorflow/tfjs-core';

/** What the kernels use of the backend of tfjs-node and tfjs-node-gpu. */
interface NodeBackend {
  binding: {TF_ATTR_TYPE: number; TF_ATTR_BOOL: number; TF_FLOAT: number};
  executeMultipleOutputs(
    op: string,
    attributes: Array<{name: string; type: number; value: unknown}>,
    inputs: tf.TensorInfo[],
    outputs: number,
  ): tf.Tensor[];
}

type MatrixKernel = (args: {inputs: tf.NamedTensorInfoMap; backend: unknown}) => tf.Tensor;

/** OwLoreOrthonormalize: Q of TensorFlow's QR decomposition. */
export const orthonormalize: MatrixKernel = ({inputs, backend}) =>
  decompose(backend as NodeBackend, 'Qr', inputs['matrix']!, 2, 0);

/** OwLoreLeftSingularVectors: U of TensorFlow's singular value decomposition. */
export const leftSingularVectors: MatrixKernel = ({inputs, backend}) =>
  decompose(backend as NodeBackend, 'Svd', inputs['matrix']!, 3, 1);

/** Output number `wanted` of a decomposition without the vectors that the matrix does not need. */
function decompose(
  backend: NodeBackend,
  op: 'Qr' | 'Svd',
  matrix: tf.TensorInfo,
  outputs: number,
  wanted: number,
): tf.Tensor {
  const {TF_ATTR_TYPE, TF_ATTR_BOOL, TF_FLOAT} = backend.binding;
  const attributes = [
    {name: 'T', type: TF_ATTR_TYPE, value: TF_FLOAT},
    {name: 'full_matrices', type: TF_ATTR_BOOL, value: false},
    ...(op === 'Svd' ? [{name: 'compute_uv', type: TF_ATTR_BOOL, value: true}] : []),
  ];
  const all = backend.executeMultipleOutputs(op, attributes, [matrix], outputs);
  all.forEach((tensor, i) => i === wanted || tensor.dispose());
  return all[wanted]!;
}
