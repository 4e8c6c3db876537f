import type {Native, NativeKernel, NativeOps, NativeType} from './native_ops';

/** OwLoreOrthonormalize: Q of TensorFlow's QR decomposition. */
export const orthonormalize: NativeKernel<object> = (ops, {matrix}) =>
  inFloat64(
    ops,
    matrix!,
    (exact, T) => ops.runAll('Qr', [exact], {T, full_matrices: false}, 2)[0]!,
  );

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
