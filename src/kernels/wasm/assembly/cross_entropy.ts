import {rowExp, rowMax, scaleRow} from './softmax';
import {exp, loadUpTo, log, offset, sumOf} from './vector';

/**
 * `Σ weight · −log softmax(logits)[label]` over the rows of `logits` `[rows, vocabulary]`, into the
 * scalar `loss`. A row with a negative label is left out; one with a label that is not below
 * `vocabulary` makes the sum NaN.
 */
export function crossEntropy(
  logits: usize,
  labels: usize,
  weights: usize,
  rows: i32,
  vocabulary: i32,
  loss: usize,
): void {
  let sum: f64 = 0;
  for (let row = 0; row < rows; row++) {
    const label = load<i32>(labels + offset(row));
    if (label >= 0) {
      const largest = rowMax(logits, vocabulary);
      const logSum = <f64>largest + log(<f64>sumOfExp(logits, vocabulary, largest));
      const ofLabel = label < vocabulary ? load<f32>(logits + offset(label)) : NaN;
      sum += <f64>load<f32>(weights + offset(row)) * (logSum - <f64>ofLabel);
    }
    logits += offset(vocabulary);
  }
  store<f32>(loss, <f32>sum);
}

/** Its gradient by the logits: `weight · (softmax(logits) − 1 at the label)`. */
export function crossEntropyGradient(
  logits: usize,
  labels: usize,
  weights: usize,
  rows: i32,
  vocabulary: i32,
  dLogits: usize,
): void {
  for (let row = 0; row < rows; row++) {
    const label = load<i32>(labels + offset(row));
    if (label < 0) {
      memory.fill(dLogits, 0, offset(vocabulary));
    } else {
      const weight = load<f32>(weights + offset(row));
      const sum = rowExp(logits, vocabulary, 1, rowMax(logits, vocabulary), dLogits);
      scaleRow(dLogits, vocabulary, label < vocabulary ? weight / sum : NaN);
      if (label < vocabulary) {
        const at = dLogits + offset(label);
        store<f32>(at, load<f32>(at) - weight);
      }
    }
    logits += offset(vocabulary);
    dLogits += offset(vocabulary);
  }
}

function sumOfExp(x: usize, width: i32, shift: f32): f32 {
  const down = f32x4.splat(shift);
  let sum = f32x4.splat(0);
  let i = 0;
  for (; i + 4 <= width; i += 4) {
    sum = f32x4.add(sum, exp(f32x4.sub(v128.load(x + offset(i)), down)));
  }
  let total = sumOf(sum);
  const e = exp(f32x4.sub(loadUpTo(x + offset(i), width - i), down));
  if (i < width) total += f32x4.extract_lane(e, 0);
  if (i + 1 < width) total += f32x4.extract_lane(e, 1);
  if (i + 2 < width) total += f32x4.extract_lane(e, 2);
  return total;
}
