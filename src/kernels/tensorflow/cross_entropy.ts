import type {NativeInputs, NativeKernel} from './kernel';
import type {Native, NativeOps} from './native_ops';

/** Logits that are worked on at a time: TensorFlow's op makes their gradient even where the loss alone is asked for. */
const CHUNK_SIZE = 2 ** 18;

/** OwLoreCrossEntropy, by TensorFlow's own op for a row's loss. */
export const crossEntropy: NativeKernel<object> = (ops, inputs) => {
  const sums = inChunks(ops, inputs, (chunk) => {
    const {losses, isLeftOut, weights} = ofRows(ops, chunk);
    return ops.sum(ops.select(isLeftOut, ops.scalar(0), ops.mul(losses, weights)), 0);
  });
  return ops.reshape(ops.sum(ops.concat(sums, 0), 0), []);
};

/** OwLoreCrossEntropyGrad. */
export const crossEntropyGrad: NativeKernel<object> = (ops, inputs) => {
  const gradients = inChunks(ops, inputs, (chunk) => {
    const {gradients, isLeftOut, weights} = ofRows(ops, chunk);
    const ofColumns = (x: Native): Native => ops.reshape(x, [x.shape[0]!, 1]);
    const weighted = ops.mul(gradients, ofColumns(weights));
    return ops.select(ofColumns(isLeftOut), ops.scalar(0), weighted);
  });
  return ops.concat(gradients, 0);
};

interface Rows {
  /** `[rows]`. */
  losses: Native;
  /** By the logits, `[rows, vocabulary]`. */
  gradients: Native;
  /** Whether the label is negative, `[rows]`. */
  isLeftOut: Native;
  /** `[rows]`, NaN where the label is too large. */
  weights: Native;
}

function ofRows(ops: NativeOps, inputs: NativeInputs): Rows {
  const [logits, labels] = [inputs['logits']!, inputs['labels']!];
  const last = logits.shape[1]! - 1;
  const ofInt32 = {T: ops.int32};
  const [first, end] = [0, last].map((value) => ops.constant(Int32Array.of(value), []));
  const isLeftOut = ops.run('Less', [labels, first!], ofInt32);
  const isTooLarge = ops.run('Greater', [labels, end!], ofInt32);
  // TensorFlow refuses labels out of range.
  const ids = ops.run('Minimum', [ops.run('Maximum', [labels, first!], ofInt32), end!], ofInt32);
  const op = 'SparseSoftmaxCrossEntropyWithLogits';
  const [losses, gradients] = ops.runAll(
    op,
    [logits, ids],
    {T: ops.float32, Tlabels: ops.int32},
    2,
  );
  const weights = ops.select(isTooLarge, ops.scalar(NaN), inputs['weights']!);
  return {losses: losses!, gradients: gradients!, isLeftOut, weights};
}

/** What comes of some rows at a time. */
function inChunks(
  ops: NativeOps,
  inputs: NativeInputs,
  f: (chunk: NativeInputs) => Native,
): Native[] {
  const [rows, vocabulary] = inputs['logits']!.shape as [number, number];
  const most = Math.max(1, Math.floor(CHUNK_SIZE / vocabulary));
  const results: Native[] = [];
  for (let from = 0; from < Math.max(rows, 1); from += most) {
    const size = Math.min(most, rows - from);
    results.push(ops.scope(() => f(rowsOf(ops, inputs, from, size))));
  }
  return results;
}

function rowsOf(ops: NativeOps, inputs: NativeInputs, from: number, size: number): NativeInputs {
  const parts = Object.entries(inputs).map(([name, x]) => {
    const rest = x.shape.slice(1);
    return [name, ops.slice(x, [from, ...rest.map(() => 0)], [size, ...rest])] as const;
  });
  return Object.fromEntries(parts);
}
