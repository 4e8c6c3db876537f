import {expRow, sumOfExp} from './exp';
import {rowMax, scaleRow} from './softmax';
import {log, offset} from './vector';

/**
 * `weight · −log softmax(logits)[label]` of each row of `logits` `[rows, vocabulary]`, into `losses` `[rows]` of float64. It is 0 for
 * a negative label, and NaN for one that is not below `vocabulary`.
 */
export function crossEntropy(
  logits: usize,
  labels: usize,
  weights: usize,
  rows: i32,
  vocabulary: i32,
  losses: usize,
): void {
  for (let row = 0; row < rows; row++) {
    const label = load<i32>(labels + offset(row));
    let loss: f64 = 0;
    if (label >= 0) {
      const largest = rowMax(logits, vocabulary);
      const logSum = <f64>largest + log(<f64>sumOfExp(logits, vocabulary, largest));
      const labelLogit = label < vocabulary ? load<f32>(logits + offset(label)) : NaN;
      loss = <f64>load<f32>(weights + offset(row)) * (logSum - <f64>labelLogit);
    }
    store<f64>(losses + <usize>row * 8, loss);
    logits += offset(vocabulary);
  }
}

/** The sum of `size` float64, as a float32. */
export function sumOfDoubles(x: usize, size: i32, sum: usize): void {
  let total: f64 = 0;
  for (let i = 0; i < size; i++) total += load<f64>(x + <usize>i * 8);
  store<f32>(sum, <f32>total);
}

/** Its gradient by the logits: `weight · (softmax(logits) − 1 at the label)`; and the losses themselves, unless `losses` is 0. */
export function crossEntropyGradient(
  logits: usize,
  labels: usize,
  weights: usize,
  rows: i32,
  vocabulary: i32,
  dLogits: usize,
  losses: usize,
): void {
  for (let row = 0; row < rows; row++) {
    const label = load<i32>(labels + offset(row));
    let loss: f64 = 0;
    if (label < 0) {
      memory.fill(dLogits, 0, offset(vocabulary));
    } else {
      const weight = load<f32>(weights + offset(row));
      const largest = rowMax(logits, vocabulary);
      const sum = expRow(logits, vocabulary, 1, largest, dLogits);
      const labelLogit = label < vocabulary ? load<f32>(logits + offset(label)) : NaN;
      loss = <f64>weight * (<f64>largest + log(<f64>sum) - <f64>labelLogit);
      scaleRow(dLogits, vocabulary, label < vocabulary ? weight / sum : NaN);
      if (label < vocabulary) {
        const at = dLogits + offset(label);
        store<f32>(at, load<f32>(at) - weight);
      }
    }
    if (losses !== 0) store<f64>(losses + <usize>row * 8, loss);
    logits += offset(vocabulary);
    dLogits += offset(vocabulary);
  }
}
