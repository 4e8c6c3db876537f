import * as tf from '@tensorflow/tfjs-core';
import {allocate, withShape, type WasmKernel} from './kernel';
import {broadcastIndices, matMulShapes} from './mat_mul_shapes';
import {withMatrixView} from './matrix_view';
import {transposeMatrices} from './transpose_matrices';

type MatMulKernel = WasmKernel<'a' | 'b', tf.BatchMatMulAttrs>;

/**
 * With fewer multiplications than this, a product in a stack takes longer to set up than the scalar loop
 * takes to run.
 */
const SMALL_PRODUCT = 16 ** 3;

/**
 * BatchMatMul as a sequence of plain products of two matrices.
 *
 * The stock kernel has a fast path for exactly that case, and a scalar loop, over ten times slower, for
 * every transposed or batched product. Transposed operands are copied; a stack times one matrix becomes
 * one product of all rows. Stacks of small matrices still use the scalar loop.
 *
 * @param stock the kernel that tfjs registers; runs each product.
 */
export function createBatchMatMul(stock: MatMulKernel): MatMulKernel {
  return (args) => {
    const {inputs, backend, attrs} = args;
    const {a, b} = inputs;
    const {transposeA, transposeB} = attrs;
    if (a.dtype !== 'float32' || b.dtype !== 'float32') return stock(args); // throws: unsupported

    const {rows, inner, columns, batchA, batchB, batch, outShape} = matMulShapes(a, b, attrs);
    if (inner === 0 || tf.util.sizeFromShape(outShape) === 0) {
      const out = allocate(backend, outShape);
      backend.typedArrayFromHeap(out).fill(0);
      return out;
    }

    const sameBatch = tf.util.arraysEqual(batchA, batchB);
    if (sameBatch && batch.length > 0 && rows * inner * columns < SMALL_PRODUCT) return stock(args);

    const left = transposeA ? transposeMatrices(backend, a) : a;
    const right = transposeB ? transposeMatrices(backend, b) : b;
    const multiply = (l: tf.TensorInfo, r: tf.TensorInfo): tf.TensorInfo =>
      stock({inputs: {a: l, b: r}, backend, attrs: {transposeA: false, transposeB: false}});

    let out: tf.TensorInfo;
    if (tf.util.sizeFromShape(batchB) === 1) {
      const allRows = withShape(left, [tf.util.sizeFromShape(batchA) * rows, inner]);
      out = transposeA
        ? withMatrixView(backend, right, 0, [inner, columns], (r) => multiply(allRows, r))
        : multiply(allRows, withShape(right, [inner, columns])); // weights stay packed, as in the stock kernel
      out.shape = outShape;
    } else {
      out = allocate(backend, outShape);
      const leftIndices = broadcastIndices(batchA, batch);
      const rightIndices = broadcastIndices(batchB, batch);
      for (let i = 0; i < leftIndices.length; i++) {
        const product = withMatrixView(backend, left, leftIndices[i]!, [rows, inner], (l) =>
          withMatrixView(backend, right, rightIndices[i]!, [inner, columns], (r) => multiply(l, r)),
        );
        const values = backend.typedArrayFromHeap(product);
        backend.typedArrayFromHeap(out).set(values, i * rows * columns);
        backend.disposeData(product.dataId);
      }
    }

    if (transposeA) backend.disposeData(left.dataId);
    if (transposeB) backend.disposeData(right.dataId);
    return out;
  };
}
