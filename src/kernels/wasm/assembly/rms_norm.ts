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

/** The gradient `dx` `[rows, width]`, and what each row was multiplied by, `scales` `[rows]`. */
export function rmsNormGradient(
  dy: usize,
  x: usize,
  weight: usize,
  rows: i32,
  width: i32,
  epsilon: f32,
  dx: usize,
  scales: usize,
): void {
  for (let row = 0; row < rows; row++) {
    const inverse = inverseRms(x, width, epsilon);
    store<f32>(scales + offset(row), inverse);
    const scale = f32x4.splat(inverse);
    let along = f32x4.splat(0);
    for (let i = 0; i < width; i += 4) {
      const left = width - i;
      const normalized = f32x4.mul(loadUpTo(x + offset(i), left), scale);
      const byWeight = f32x4.mul(loadUpTo(dy + offset(i), left), normalized);
      along = multiplyAdd(byWeight, loadUpTo(weight + offset(i), left), along);
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

/**
 * The gradient `dWeight` of some `columns` of the weight, from the `scales` of `rmsNormGradient`. `dy` and `x` begin at the first of
 * these columns, and have `step` bytes from one row to the next.
 */
export function rmsNormWeightGradient(
  dy: usize,
  x: usize,
  scales: usize,
  rows: i32,
  columns: i32,
  step: usize,
  dWeight: usize,
): void {
  memory.fill(dWeight, 0, offset(columns));
  for (let row = 0; row < rows; row++) {
    const scale = v128.load32_splat(scales + offset(row));
    for (let i = 0; i < columns; i += 4) {
      const left = columns - i;
      const normalized = f32x4.mul(loadUpTo(x + offset(i), left), scale);
      const byWeight = f32x4.mul(loadUpTo(dy + offset(i), left), normalized);
      const sum = loadUpTo(dWeight + offset(i), left);
      storeUpTo(dWeight + offset(i), f32x4.add(sum, byWeight), left);
    }
    dy += step;
    x += step;
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
