import type {NativeKernel} from './kernel';
import type {Native, NativeOps, NativeType} from './native_ops';

/** Smallest normal float32: divides a column of zeros into zeros. */
const SMALLEST = 2 ** -126;

/** OwLoreOrthonormalize: Q of TensorFlow's QR decomposition, of columns that are scaled so that no square underflows. */
export const orthonormalize: NativeKernel<object> = (ops, {matrix}) => {
  const T = ops.float32;
  const largest = ops.scope(() => {
    const magnitudes = ops.run('Abs', [matrix!]);
    const axis = ops.constant(Int32Array.of(0), [1]);
    const attributes = {T, Tidx: ops.int32, keep_dims: true};
    return ops.run('Maximum', [
      ops.run('Max', [magnitudes, axis], attributes),
      ops.scalar(SMALLEST),
    ]);
  });
  const scaled = ops.div(matrix!, largest);
  return ops.runAll('Qr', [scaled], {T, full_matrices: false}, 2)[0]!;
};

/** OwLoreLeftSingularVectors: U of TensorFlow's singular value decomposition. */
export const leftSingularVectors: NativeKernel<object> = (ops, {matrix}) =>
  inFloat64(ops, matrix!, (exact, T) => {
    const attributes = {T, compute_uv: true, full_matrices: false};
    return ops.runAll('Svd', [exact], attributes, 3)[1]!;
  });

/** What `f` makes of a float32 tensor in float64, as float32. */
function inFloat64(ops: NativeOps, x: Native, f: (exact: Native, T: NativeType) => Native): Native {
  const {float32, float64} = ops;
  const exact = ops.run('Cast', [x], {SrcT: float32, DstT: float64, Truncate: false});
  const result = f(exact, float64);
  return ops.run('Cast', [result], {SrcT: float64, DstT: float32, Truncate: false});
}
