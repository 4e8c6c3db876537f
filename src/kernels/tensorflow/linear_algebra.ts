import type * as tf from '@tensorflow/tfjs-core';

/** A tensor of TensorFlow's, by its id. */
interface Output {
  id: number;
}

interface Attribute {
  name: string;
  type: number;
  value: unknown;
}

/** What the kernels use of the backend of tfjs-node and tfjs-node-gpu. */
interface NodeBackend {
  binding: {
    TF_ATTR_TYPE: number;
    TF_ATTR_BOOL: number;
    TF_FLOAT: number;
    executeOp(op: string, attributes: Attribute[], inputs: number[], outputs: number): Output[];
    deleteTensor(id: number): void;
  };
  getInputTensorIds(inputs: tf.TensorInfo[]): number[];
  createOutputTensor(output: Output): tf.Tensor;
}

type MatrixKernel = (args: {inputs: tf.NamedTensorInfoMap; backend: unknown}) => tf.Tensor;

/** TensorFlow's number for float64, a type that tfjs does not know. */
const TF_DOUBLE = 2;

/** OwLoreOrthonormalize: Q of TensorFlow's QR decomposition. */
export const orthonormalize: MatrixKernel = ({inputs, backend}) =>
  decompose(backend as NodeBackend, 'Qr', inputs['matrix']!);

/** OwLoreLeftSingularVectors: U of TensorFlow's singular value decomposition. */
export const leftSingularVectors: MatrixKernel = ({inputs, backend}) =>
  decompose(backend as NodeBackend, 'Svd', inputs['matrix']!);

/** The matrix of orthonormal columns of a decomposition in float64, without columns that the matrix does not need. */
function decompose(backend: NodeBackend, op: 'Qr' | 'Svd', matrix: tf.TensorInfo): tf.Tensor {
  const {binding} = backend;
  const {TF_ATTR_TYPE, TF_ATTR_BOOL, TF_FLOAT} = binding;
  const made: number[] = [];
  const run = (name: string, attributes: Attribute[], input: number, outputs = 1): Output[] => {
    const results = binding.executeOp(name, attributes, [input], outputs);
    made.push(...results.map(({id}) => id));
    return results;
  };
  const type = (name: string, value: number): Attribute => ({name, type: TF_ATTR_TYPE, value});
  const flag = (name: string, value: boolean): Attribute => ({name, type: TF_ATTR_BOOL, value});
  const cast = (input: number, from: number, to: number): Output =>
    run('Cast', [type('SrcT', from), type('DstT', to), flag('Truncate', false)], input)[0]!;

  const exact = cast(backend.getInputTensorIds([matrix])[0]!, TF_FLOAT, TF_DOUBLE);
  const attributes = [type('T', TF_DOUBLE), flag('full_matrices', false)];
  const columns =
    op === 'Qr'
      ? run(op, attributes, exact.id, 2)[0]!
      : run(op, [...attributes, flag('compute_uv', true)], exact.id, 3)[1]!;
  const result = cast(columns.id, TF_DOUBLE, TF_FLOAT);
  for (const id of made) if (id !== result.id) binding.deleteTensor(id);
  return backend.createOutputTensor(result);
}
