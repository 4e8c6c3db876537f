import type {OwLoreRMSNormAttrs} from '../llama/kernel_names';
import type {NativeKernel} from './kernel';
import type {Native, NativeOps} from './native_ops';

export const rmsNorm: NativeKernel<OwLoreRMSNormAttrs> = (ops, inputs, {epsilon}) => {
  const rows = asRows(ops, inputs['x']!);
  const normalized = normalize(ops, rows, inverseRms(ops, rows, epsilon), inputs['weight']!);
  return ops.reshape(normalized, inputs['x']!.shape);
};

export const rmsNormGrad: NativeKernel<OwLoreRMSNormAttrs> = (ops, inputs, {epsilon}) => {
  const rows = asRows(ops, inputs['x']!);
  const scale = inverseRms(ops, rows, epsilon);
  const [dy, weight] = [asRows(ops, inputs['dy']!), inputs['weight']!];
  const [dx, dWeight] = normalizeGrad(ops, dy, rows, scale, weight);
  return [ops.reshape(dx, inputs['x']!.shape), dWeight];
};

/** `[rows, width]`. */
export function asRows(ops: NativeOps, x: Native): Native {
  if (x.shape.length === 2) return x;
  const width = x.shape.at(-1)!;
  return ops.reshape(x, [x.shape.reduce((a, b) => a * b, 1) / width, width]);
}

/** `1 / √(mean(x²) + epsilon)` of each row, `[rows, 1]`. */
export function inverseRms(ops: NativeOps, x: Native, epsilon: number): Native {
  const width = x.shape[1]!;
  return ops.scope(() => {
    const means = ops.constant(new Float32Array(width).fill(1 / width), [width, 1]);
    const meanSquare = ops.matMul(ops.run('Square', [x]), means);
    return ops.run('Rsqrt', [ops.add(meanSquare, ops.scalar(epsilon))]);
  });
}

/** Rows times `scale`, which is the {@link inverseRms} of each row, times the weight. */
export function normalize(ops: NativeOps, x: Native, scale: Native, weight: Native): Native {
  return ops.scope(() => ops.mul(ops.mul(x, scale), weight));
}

/** The gradients of {@link normalize} with {@link inverseRms}: by the rows, and by the weight. */
export function normalizeGrad(
  ops: NativeOps,
  dy: Native,
  x: Native,
  scale: Native,
  weight: Native,
): [dx: Native, dWeight: Native] {
  const width = x.shape[1]!;
  return ops.scope(() => {
    const products = ops.mul(dy, x);
    // The sums over an axis are computed as matrix products, which are faster in TensorFlow.
    const dWeight = ops.reshape(ops.matMul(scale, products, true, false), weight.shape);
    const means = ops.mul(ops.reshape(weight, [width, 1]), ops.scalar(1 / width));
    const along = ops.matMul(products, means);
    // scale · (dy · weight − x · scale² · along)
    const across = ops.mul(ops.mul(dy, weight), scale);
    const cubed = ops.mul(ops.mul(ops.mul(along, scale), scale), scale);
    // Not a difference: in a graph, TensorFlow would compute x · cubed in another way, which rounds differently (see swiglu).
    return [ops.add(across, ops.mul(x, ops.run('Neg', [cubed]))), dWeight];
  });
}
