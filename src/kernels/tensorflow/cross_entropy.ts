import type {OwLoreCrossEntropyGradAttrs} from '../llama/kernel_names';
import type {NativeInputs, NativeKernel} from './kernel';
import type {Native, NativeOps} from './native_ops';

/*
 * TensorFlow's own op computes a row's loss and gradient together, and takes more than twice as long as the ops here for one of
 * the two.
 */

/** Logits that are worked on at a time; with fewer, TensorFlow's threads take longer to start than to compute. 4 MB. */
const CHUNK_SIZE = 2 ** 20;

/** OwLoreCrossEntropy. */
export const crossEntropy: NativeKernel<object> = (ops, inputs) => {
  const sums = inChunks(ops, inputs, (chunk) => sumOfLosses(ops, chunk, ops.softmax(chunk.logits)));
  return ops.reshape(ops.sum(ops.concat(sums, 0), 0), []);
};

/**
 * OwLoreCrossEntropyGrad: for each row the softmax, minus 1 at the label, times the weight. All rows at once: in a graph each op works
 * in the memory of the one before, and there are no parts to join.
 */
export const crossEntropyGrad: NativeKernel<OwLoreCrossEntropyGradAttrs> = (
  ops,
  inputs,
  {withLoss},
) => {
  const {shape} = inputs['logits']!;
  const chunk = chunkOf(ops, inputs, 0, shape[0]!);
  const inColumns = (x: Native): Native => ops.reshape(x, [shape[0]!, 1]);
  const [weighted, ...losses] = ops.scope((): [Native, ...Native[]] => {
    const softmax = ops.softmax(chunk.logits);
    if (!withLoss) return [ops.run('MulNoNan', [softmax, inColumns(chunk.weights)])];
    const loss = ops.reshape(sumOfLosses(ops, chunk, softmax), []);
    // 0 · loss is added so that a graph multiplies the softmax, in its memory, after the loss has read it.
    const weights = ops.add(chunk.weights, ops.run('MulNoNan', [loss, ops.scalar(0)]));
    return [ops.run('MulNoNan', [softmax, inColumns(weights)]), loss];
  });
  const update = [ops.reshape(weighted, [-1]), inColumns(chunk.places), chunk.weights];
  const attributes = {T: ops.float32, Tindices: ops.int32};
  return [ops.reshape(ops.run('TensorScatterSub', update, attributes), shape), ...losses];
};

interface Chunk {
  /** `[rows, vocabulary]`. */
  logits: Native;
  /** Indices of the labels' logits among all logits of the chunk, `[rows]`. */
  places: Native;
  /** `[rows]`: 0 where the label is negative (MulNoNan gives 0 for it, whatever the logits are), NaN where it is too large. */
  weights: Native;
}

/**
 * Σ weight · (log Σ exp(logits) − the label's logit) over the rows, `[1]`. By the rows' softmax p, for which oneDNN takes a third of the
 * time of TensorFlow's own exponentials and sums: log Σ exp(z) = zᵢ − log pᵢ for any i, and at the largest z no p underflows.
 */
function sumOfLosses(ops: NativeOps, {logits, places, weights}: Chunk, softmax: Native): Native {
  return ops.scope(() => {
    const lastAxis = ops.constant(Int32Array.of(1), [1]);
    const reduced = {T: ops.float32, Tidx: ops.int32, keep_dims: false};
    const largest = (x: Native): Native => ops.run('Max', [x, lastAxis], reduced);
    const gathered = {Tparams: ops.float32, Tindices: ops.int32, Taxis: ops.int32, batch_dims: 0};
    const firstAxis = ops.constant(Int32Array.of(0), []);
    const labelPlaces = [ops.reshape(logits, [-1]), places, firstAxis];
    const below = ops.sub(largest(logits), ops.run('GatherV2', labelPlaces, gathered));
    const losses = ops.sub(below, ops.run('Log', [largest(softmax)]));
    return ops.sum(ops.run('MulNoNan', [losses, weights]), 0);
  });
}

/** The results of `f` for some rows at a time. */
function inChunks(ops: NativeOps, inputs: NativeInputs, f: (chunk: Chunk) => Native): Native[] {
  const [rows, vocabulary] = inputs['logits']!.shape as [number, number];
  const max = Math.max(1, Math.floor(CHUNK_SIZE / vocabulary));
  const results: Native[] = [];
  for (let from = 0; from < Math.max(rows, 1); from += max) {
    const size = Math.min(max, rows - from);
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
  const int32 = {T: ops.int32};
  const [first, last] = [0, vocabulary - 1].map((value) => ops.constant(Int32Array.of(value), []));
  const isLeftOut = ops.run('Less', [labels, first!], int32);
  const isTooLarge = ops.run('Greater', [labels, last!], int32);
  const inRange = ops.run('Minimum', [ops.run('Maximum', [labels, first!], int32), last!], int32);
  const rowStarts = Int32Array.from({length: size}, (_, row) => row * vocabulary);
  const places = ops.run('AddV2', [inRange, ops.constant(rowStarts, [size])], int32);
  const countedWeights = ops.select(isTooLarge, ops.scalar(NaN), given);
  return {logits, places, weights: ops.select(isLeftOut, ops.scalar(0), countedWeights)};
}
