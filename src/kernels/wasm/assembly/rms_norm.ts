import {loadUpTo, multiplyAdd, offset, storeUpTo, sumOf} from './vector';

/** `y = x / √(mean(x²) + epsilon) · weight` for each row of `x` `[rows, width]`. */
export function rmsNorm(
  x: usize,
  weight: usize,
  rows: i32,
  width: i32,
  epsilon: f32,
  y: usize,
): void {
  for (let row = 0; row < rows; row++) {
    const scale = f32x4.splat(inverseRms(x, width, epsilon));
    for (let i = 0; i < width; i += 4) {
      const left = width - i;
      const normalized = f32x4.mul(loadUpTo(x + offset(i), left), scale);
      storeUpTo(y + offset(i), f32x4.mul(normalized, loadUpTo(weight + offset(i), left)), left);
    }
    x += offset(width);
    y += offset(width);
  }
}

/** The gradients `dx` `[rows, width]` and `dWeight` `[width]`. */
export function rmsNormGradient(
  dy: usize,
  x: usize,
  weight: usize,
  rows: i32,
  width: i32,
  epsilon: f32,
  dx: usize,
  dWeight: usize,
): void {
  memory.fill(dWeight, 0, offset(width));
  for (let row = 0; row < rows; row++) {
    const inverse = inverseRms(x, width, epsilon);
    const scale = f32x4.splat(inverse);
    let along = f32x4.splat(0);
    for (let i = 0; i < width; i += 4) {
      const left = width - i;
      const dyHere = loadUpTo(dy + offset(i), left);
      const normalized = f32x4.mul(loadUpTo(x + offset(i), left), scale);
      const byWeight = f32x4.mul(dyHere, normalized);
      along = multiplyAdd(byWeight, loadUpTo(weight + offset(i), left), along);
      const sum = loadUpTo(dWeight + offset(i), left);
      storeUpTo(dWeight + offset(i), f32x4.add(sum, byWeight), left);
    }
    const mean = f32x4.splat(sumOf(along) / <f32>width);
    for (let i = 0; i < width; i += 4) {
      const left = width - i;
      const normalized = f32x4.mul(loadUpTo(x + offset(i), left), scale);
      const direct = f32x4.mul(loadUpTo(dy + offset(i), left), loadUpTo(weight + offset(i), left));
      const across = f32x4.sub(direct, f32x4.mul(normalized, mean));
      storeUpTo(dx + offset(i), f32x4.mul(across, scale), left);
    }
    dy += offset(width);
    x += offset(width);
    dx += offset(width);
  }
}

function inverseRms(x: usize, width: i32, epsilon: f32): f32 {
  let squares = f32x4.splat(0);
  for (let i = 0; i < width; i += 4) {
    const value = loadUpTo(x + offset(i), width - i);
    squares = multiplyAdd(value, value, squares);
  }
  return 1 / sqrt<f32>(sumOf(squares) / <f32>width + epsilon);
}
