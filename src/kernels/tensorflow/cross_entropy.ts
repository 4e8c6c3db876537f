import type {NativeInputs, NativeKernel} from './kernel';
import type {Native, NativeOps} from './native_ops';

/*
 * TensorFlow's own op computes a row's loss and gradient together, and takes more than twice as long as the ops here for one of
 * the two.
 */

/** Logits that are worked on at a time, so that intermediate results stay small. */
const CHUNK_SIZE = 2 ** 18;

/** OwLoreCrossEntropy. */
export const crossEntropy: NativeKernel<object> = (ops, inputs) => {
  const vocabulary = inputs['logits']!.shape[1]!;
  const ones = ops.constant(new Float32Array(vocabulary).fill(1), [vocabulary, 1]);
  const sums = inChunks(ops, inputs, (chunk) =>
    ops.sum(ops.run('MulNoNan', [lossesOf(ops, chunk, ones), chunk.weights]), 0),
  );
  return ops.reshape(ops.sum(ops.concat(sums, 0), 0), []);
};

/**
 * OwLoreCrossEntropyGrad: for each row the softmax, minus 1 at the label, times the weight. All rows at once: in a graph each op works
 * in the memory of the one before, and there are no parts to join.
 */
export const crossEntropyGrad: NativeKernel<object> = (ops, inputs) => {
  const {logits, places, weights} = chunkOf(ops, inputs, 0, inputs['logits']!.shape[0]!);
  const inColumns = (x: Native): Native => ops.reshape(x, [x.shape[0]!, 1]);
  const weighted = ops.scope(() => ops.run('MulNoNan', [ops.softmax(logits), inColumns(weights)]));
  const update = [ops.reshape(weighted, [-1]), inColumns(places), weights];
  const attributes = {T: ops.float32, Tindices: ops.int32};
  return ops.reshape(ops.run('TensorScatterSub', update, attributes), logits.shape);
};

interface Chunk {
  /** `[rows, vocabulary]`. */
  logits: Native;
  /** Indices of the labels' logits among all logits of the chunk, `[rows]`. */
  places: Native;
  /** `[rows]`: 0 where the label is negative (MulNoNan gives 0 for it, whatever the logits are), NaN where it is too large. */
  weights: Native;
}

/** The logarithm of the sum of a row's exponentials, minus the label's logit, `[rows]`; `ones` `[vocabulary, 1]`. */
function lossesOf(ops: NativeOps, {logits, places}: Chunk, ones: Native): Native {
  const lastAxis = ops.constant(Int32Array.of(1), [1]);
  const reduced = {T: ops.float32, Tidx: ops.int32, keep_dims: true};
  // The largest logit becomes 0, so that no exponential overflows.
  const shifted = ops.sub(logits, ops.run('Max', [logits, lastAxis], reduced));
  // The sums over an axis are computed as a matrix product, which is faster in TensorFlow.
  const sums = ops.matMul(ops.run('Exp', [shifted]), ones);
  const logarithms = ops.reshape(ops.run('Log', [sums]), places.shape);
  const gathered = {Tparams: ops.float32, Tindices: ops.int32, Taxis: ops.int32, batch_dims: 0};
  const firstAxis = ops.constant(Int32Array.of(0), []);
  const inputs = [ops.reshape(shifted, [-1]), places, firstAxis];
  return ops.sub(logarithms, ops.run('GatherV2', inputs, gathered));
}

/** The results of `f` for some rows at a time. */
function inChunks(ops: NativeOps, inputs: NativeInputs, f: (chunk: Chunk) => Native): Native[] {
  const [rows, vocabulary] = inputs['logits']!.shape as [number, number];
  const most = Math.max(1, Math.floor(CHUNK_SIZE / vocabulary));
  const results: Native[] = [];
  for (let from = 0; from < Math.max(rows, 1); from += most) {
    const size = Math.min(most, rows - from);
    results.push(ops.scope(() => f(chunkOf(ops, inputs, from, size))));
  }
  return results;
}

function chunkOf(ops: NativeOps, inputs: NativeInputs, from: number, size: number): Chunk {
  const isAll = size === inputs['logits']!.shape[0];
  const [logits, labels, given] = ['logits', 'labels', 'weights'].map((name) => {
    if (isAll) return inputs[name]!;
    const rest = inputs[name]!.shape.slice(1);
    return ops.slice(inputs[name]!, [from, ...rest.map(() => 0)], [size, ...rest]);
  }) as [Native, Native, Native];
  const vocabulary = logits.shape[1]!;
  const ofInt32 = {T: ops.int32};
  const [first, last] = [0, vocabulary - 1].map((value) => ops.constant(Int32Array.of(value), []));
  const isLeftOut = ops.run('Less', [labels, first!], ofInt32);
  const isTooLarge = ops.run('Greater', [labels, last!], ofInt32);
  const inRange = ops.run(
    'Minimum',
    [ops.run('Maximum', [labels, first!], ofInt32), last!],
    ofInt32,
  );
  const rowStarts = Int32Array.from({length: size}, (_, row) => row * vocabulary);
  const places = ops.run('AddV2', [inRange, ops.constant(rowStarts, [size])], ofInt32);
  const ofCounted = ops.select(isTooLarge, ops.scalar(NaN), given);
  return {logits, places, weights: ops.select(isLeftOut, ops.scalar(0), ofCounted)};
}
