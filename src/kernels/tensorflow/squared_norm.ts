import type {NativeKernel} from './kernel';

/** OwLoreSquaredNorm, by TensorFlow's op for half the squared norm, which makes no tensor of the squares. */
export const squaredNorm: NativeKernel<object> = (ops, {x}) =>
  ops.mul(ops.run('L2Loss', [x!]), ops.scalar(2));
