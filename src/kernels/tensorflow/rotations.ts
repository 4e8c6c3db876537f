import type {Native, NativeOps} from './native_ops';

/**
 * For each position the matrix `[width, width]` that turns a row vector by its angles: `[length, width, width]` from cosines
 * and sines `[length, width / 2]`. Its transpose turns back.
 */
export function rotations(ops: NativeOps, cos: Native, sin: Native): Native {
  const [length, half] = cos.shape as [number, number];
  const width = 2 * half;
  const inColumns = (table: Native, signs: Float32Array): Native =>
    ops.scope(() => {
      const columns = ops.reshape(ops.concat([table, table], 1), [length, 1, width]);
      return ops.mul(columns, ops.constant(signs, [width, width]));
    });
  const diagonal = new Float32Array(width * width);
  const acrossHalves = new Float32Array(width * width);
  for (let i = 0; i < width; i++) diagonal[i * width + i] = 1;
  for (let i = 0; i < half; i++) {
    acrossHalves[i * width + (i + half)] = 1;
    acrossHalves[(i + half) * width + i] = -1;
  }
  return ops.scope(() => ops.add(inColumns(cos, diagonal), inColumns(sin, acrossHalves)));
}
