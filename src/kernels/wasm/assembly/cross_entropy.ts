import {expRow, sumOfExp} from './exp';
import {rowMax, scaleRow} from './softmax';
import {log, offset} from './vector';

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
      const labelLogit = label < vocabulary ? load<f32>(logits + offset(label)) : NaN;
      sum += <f64>load<f32>(weights + offset(row)) * (logSum - <f64>labelLogit);
    }
    logits += offset(vocabulary);
  }
  store<f32>(loss, <f32>sum);
}

/** Its gradient by the logits: `weight · (softmax(logits) − 1 at the label)`; and the sum itself, unless `loss` is 0. */
export function crossEntropyGradient(
  logits: usize,
  labels: usize,
  weights: usize,
  rows: i32,
  vocabulary: i32,
  dLogits: usize,
  loss: usize,
): void {
  let losses: f64 = 0;
  for (let row = 0; row < rows; row++) {
    const label = load<i32>(labels + offset(row));
    if (label < 0) {
      memory.fill(dLogits, 0, offset(vocabulary));
    } else {
      const weight = load<f32>(weights + offset(row));
      const largest = rowMax(logits, vocabulary);
      const sum = expRow(logits, vocabulary, 1, largest, dLogits);
      const labelLogit = label < vocabulary ? load<f32>(logits + offset(label)) : NaN;
      losses += <f64>weight * (<f64>largest + log(<f64>sum) - <f64>labelLogit);
      scaleRow(dLogits, vocabulary, label < vocabulary ? weight / sum : NaN);
      if (label < vocabulary) {
        const at = dLogits + offset(label);
        store<f32>(at, load<f32>(at) - weight);
      }
    }
    logits += offset(vocabulary);
    dLogits += offset(vocabulary);
  }
  if (loss !== 0) store<f32>(loss, <f32>losses);
}
