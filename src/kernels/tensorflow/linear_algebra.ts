import type * as tf from '@tensorflow/tfjs-core';
import {SMALLEST_NORMAL} from '../capabilities';
import type {KernelGraphs} from './graphs';
import {asKernelFunc, nativeInputs, type NativeKernel} from './kernel';
import type {Native, NativeOps, NativeType, NodeBackend} from './native_ops';
import {isRowProduct, ROW_PRODUCT, rowProduct} from './row_product';

/** Keeps a Gram matrix in float64 positive definite despite rounding; far below the precision of a float32 column. */
const SHIFT = 2 ** -40;

/** Columns that are shorter are not made longer than this makes them: 1/SHORTEST, times 1/√SHIFT, is a float32. */
const SHORTEST = 1e-30;

/** BatchMatMul; for float32 by the fastest safe op, which `NativeOps` chooses. */
export function createBatchMatMul(stock: tf.KernelFunc, graphs: KernelGraphs): tf.KernelFunc {
  const runRowProduct = graphs.runner(ROW_PRODUCT, rowProduct);
  return (args) => {
    const {a, b} = args.inputs as Record<'a' | 'b', tf.TensorInfo>;
    const isFloat = a.dtype === 'float32' && b.dtype === 'float32';
    if (!isFloat) return stock(args);
    const backend = args.backend as NodeBackend;
    // The registry has one type for the attributes of all kernels; these are of BatchMatMul.
    if (!isRowProduct(a, b, args.attrs as unknown as tf.BatchMatMulAttrs)) {
      return productOfFloats(args);
    }
    const [product] = runRowProduct(backend, nativeInputs(backend, {a, b}), {});
    return backend.createOutputTensor(product!);
  };
}

const productOfFloats = asKernelFunc<tf.BatchMatMulAttrs>(
  (ops, {a, b}, {transposeA, transposeB}) =>
    a!.shape.length === 2 && b!.shape.length === 2
      ? ops.matMul(a!, b!, transposeA, transposeB)
      : ops.batchMatMul(a!, b!, transposeA, transposeB),
);

/** OwLoreSquaredNorm, by TensorFlow's op for half the squared norm, which makes no tensor of the squares. */
export const squaredNorm: NativeKernel<object> = (ops, {x}) =>
  ops.mul(ops.run('L2Loss', [x!]), ops.scalar(2));

/** OwLoreOrthonormalize. */
export const orthonormalize: NativeKernel<object> = (ops, {matrix}) => householderQ(ops, matrix!);

/**
 * Q of TensorFlow's QR decomposition, with columns scaled so that no square underflows. Its columns have the signs that a Gram-Schmidt
 * process gives them, as on the other backends: TensorFlow's turn others round, and moments that are kept in a new basis would
 * change their signs with them.
 */
export function householderQ(ops: NativeOps, matrix: Native): Native {
  const T = ops.float32;
  return ops.scope(() => {
    const scaled = ops.div(matrix, largestMagnitude(ops, matrix, [0]));
    const [q, r] = ops.runAll('Qr', [scaled], {T, full_matrices: false}, 2);
    const diagonal = ops.run('MatrixDiagPart', [r!]);
    const isPositive = ops.run('GreaterEqual', [diagonal, ops.scalar(0)]);
    return ops.mul(q!, ops.select(isPositive, ops.scalar(1), ops.scalar(-1)));
  });
}

/** max|x| along axes, which are kept with length 1; never 0, so that one can divide by it. */
export function largestMagnitude(ops: NativeOps, x: Native, axes: readonly number[]): Native {
  return ops.scope(() =>
    ops.run('Maximum', [maximum(ops, ops.run('Abs', [x]), axes), ops.scalar(SMALLEST_NORMAL)]),
  );
}

/** The largest numbers along axes, which are kept with length 1. */
export function maximum(ops: NativeOps, x: Native, axes: readonly number[]): Native {
  const along = ops.constant(Int32Array.from(axes), [axes.length]);
  return ops.run('Max', [x, along], {T: ops.float32, Tidx: ops.int32, keep_dims: true});
}

/** OwLoreNearlyOrthonormalize. */
export const nearlyOrthonormalize: NativeKernel<object> = (ops, {matrix}) => {
  try {
    return choleskyQ(ops, matrix!);
  } catch {
    return householderQ(ops, matrix!);
  }
};

/**
 * A shifted Cholesky QR decomposition (Fukaya et al. 2020), XR⁻¹ with RᵀR = XᵀX + shift. XᵀX has the squares of singular values, so
 * that R is computed in float64; X itself is known in float32, and so is the result.
 *
 * @throws if X is not finite, which TensorFlow's Cholesky refuses.
 */
export function choleskyQ(ops: NativeOps, x: Native): Native {
  return ops.scope(() => ops.matMul(x, inFloat64(ops, x, inverseFactor), false, true));
}

/** The transpose of R⁻¹, for columns scaled to length 1. */
function inverseFactor(ops: NativeOps, x: Native, T: NativeType): Native {
  const product = (a: Native, b: Native, transposeA = false): Native =>
    ops.run('MatMul', [a, b], {T, transpose_a: transposeA, transpose_b: !transposeA});
  return ops.scope(() => {
    const gram = product(x, x, true);
    const squares = ops.run('MatrixDiagPart', [gram], {T});
    const columns = squares.shape[0]!;
    const smallest = ops.run('Square', [toFloat64(ops, ops.scalar(SHORTEST))], {T});
    const scales = ops.run('Rsqrt', [ops.run('Maximum', [squares, smallest], {T})], {T});
    const asColumn = ops.reshape(scales, [columns, 1]);
    const unitGram = ops.run('Mul', [gram, product(asColumn, asColumn)], {T});
    const ones = toFloat64(ops, ops.constant(new Float32Array(columns).fill(1), [columns]));
    const diagonal = ops.run('AddV2', [ones, toFloat64(ops, ops.scalar(SHIFT))], {T});
    const factor = ops.run('Cholesky', [ops.run('MatrixSetDiag', [unitGram, diagonal], {T})], {T});
    const scaling = ops.run('MatrixDiag', [scales], {T});
    const attributes = {T, lower: true, adjoint: false};
    return ops.run('MatrixTriangularSolve', [factor, scaling], attributes);
  });
}

/** OwLoreLeftSingularVectors: U of TensorFlow's singular value decomposition. */
export const leftSingularVectors: NativeKernel<object> = (ops, {matrix}) =>
  inFloat64(ops, matrix!, (ops, exact, T) => {
    const attributes = {T, compute_uv: true, full_matrices: false};
    return ops.runAll('Svd', [exact], attributes, 3)[1]!;
  });

/** The result of `f` in float64 for a float32 tensor, as float32. */
function inFloat64(
  ops: NativeOps,
  x: Native,
  f: (ops: NativeOps, exact: Native, T: NativeType) => Native,
): Native {
  const {float32, float64} = ops;
  const result = f(ops, toFloat64(ops, x), float64);
  return ops.run('Cast', [result], {SrcT: float64, DstT: float32, Truncate: false});
}

function toFloat64(ops: NativeOps, x: Native): Native {
  return ops.run('Cast', [x], {SrcT: ops.float32, DstT: ops.float64, Truncate: false});
}
