import type {OwLoreAttentionAttrs, OwLoreAttentionGradAttrs} from '../llama_kernel_names';
import type {NativeInputs, NativeKernel} from './kernel';
import type {Native, NativeOps} from './native_ops';
import {rotations} from './rotations';

/** Positions whose queries are worked on at a time, at least. */
const FEWEST_ROWS = 64;

/** Scores of a head that are made at a time, if that is more. */
const SCORES = 128 ** 2;

/** Added to the score of a key that a query may not see. */
const HIDDEN = -1e9;

/** Positions from `from` to before `to`; of the keys from `firstKey` to before `to` each is seen by one of their queries. */
interface Piece {
  from: number;
  to: number;
  firstKey: number;
  /** How many keys a query sees at most. */
  window: number;
}

/** OwLoreAttention. */
export const attention: NativeKernel<OwLoreAttentionAttrs> = (ops, inputs, attrs) => {
  const {heads, keyHeads} = attrs;
  const x = inputs['x']!;
  const {q: turnQueries, k: turnKeys} = turns(ops, inputs);
  const [length, , width] = turnKeys.shape as [number, number, number];
  const batch = x.shape[0]! / length;
  const stack = batch * keyHeads;
  const [q, k, v] = ops.scope((): [Native, Native, Native] => {
    const products = ops.matMul(x, kernelsOf(ops, inputs));
    const projected = inputs['qBias'] ? ops.add(products, biasesOf(ops, inputs)) : products;
    const ofHeads = ops.reshape(projected, [batch, length, heads + 2 * keyHeads, width]);
    const [q, k, v] = ops.split(ofHeads, [heads, keyHeads, keyHeads], 2);
    return [
      byHeads(ops, ops.batchMatMul(q!, turnQueries), [stack, heads / keyHeads, length, width]),
      byHeads(ops, ops.batchMatMul(k!, turnKeys), [stack, length, width]),
      byHeads(ops, v!, [stack, length, width]),
    ];
  });
  const y = ops.scope(() => {
    const parts = pieces(q, attrs).map((piece) =>
      ops.scope(() => {
        const weights = attentionWeights(ops, rowsOf(ops, q, piece), keysOf(ops, k, piece), piece);
        return asPart(ops, ops.batchMatMul(weights, keysOf(ops, v, piece)), q);
      }),
    );
    const ofTokens = byTokens(ops, ops.concat(parts, 2), [batch, length, heads, width]);
    return ops.reshape(ofTokens, [x.shape[0]!, heads * width]);
  });
  return [y, q, k, v];
};

/** OwLoreAttentionGrad. */
export const attentionGrad: NativeKernel<OwLoreAttentionGradAttrs> = (ops, inputs, attrs) => {
  const {heads, keyHeads, ofKernels} = attrs;
  const x = inputs['x']!;
  const dProjected = ops.scope(() => {
    const turn = turns(ops, inputs);
    const [length, , width] = turn.k.shape as [number, number, number];
    const tokens = [x.shape[0]! / length, length];
    const [dq, dk, dv] = gradientsByHeads(ops, inputs, [...tokens, heads, width], attrs);
    const ofKeys = [...tokens, keyHeads, width];
    const parts = [
      ops.batchMatMul(byTokens(ops, dq!, [...tokens, heads, width]), turn.q, false, true),
      ops.batchMatMul(byTokens(ops, dk!, ofKeys), turn.k, false, true),
      byTokens(ops, dv!, ofKeys),
    ];
    return ops.reshape(ops.concat(parts, 2), [x.shape[0]!, (heads + 2 * keyHeads) * width]);
  });
  const dx = ops.scope(() => ops.matMul(dProjected, kernelsOf(ops, inputs), false, true));
  if (!ofKernels) return [dx];
  const columns = ['q', 'k', 'v'].map((name) => inputs[name]!.shape[1]!);
  const dKernels = ops.split(ops.matMul(x, dProjected, true), columns, 1);
  if (!inputs['qBias']) return [dx, ...dKernels];
  const ofBiases = ops.sum(dProjected, 0);
  const dBiases = ops
    .split(ofBiases, columns, 1)
    .map((part, i) => ops.reshape(part, [columns[i]!]));
  return [dx, ...dKernels, ...dBiases];
};

/** The gradients by the turned queries, keys and values, in their layouts; `y` has the given shape. */
function gradientsByHeads(
  ops: NativeOps,
  inputs: NativeInputs,
  shape: readonly number[],
  attrs: OwLoreAttentionAttrs,
): Native[] {
  const [q, k, v] = [inputs['queries']!, inputs['keys']!, inputs['values']!];
  const [dy, y] = [ops.reshape(inputs['dy']!, shape), ops.reshape(inputs['y']!, shape)];
  const dMixed = byHeads(ops, dy, q.shape);
  const along = ops.scope(() =>
    byHeads(ops, ops.sum(ops.mul(dy, y), 3), [...q.shape.slice(0, 3), 1]),
  );
  const dqParts: Native[] = [];
  let sums: Native[] = [];
  // From the last positions, which see all keys, to the first.
  for (const piece of pieces(q, attrs).reverse()) {
    const [dq, ...dkv] = ops.scope(() => {
      const queries = rowsOf(ops, q, piece);
      const [keys, values] = [keysOf(ops, k, piece), keysOf(ops, v, piece)];
      const dRows = rowsOf(ops, dMixed, piece);
      const weights = attentionWeights(ops, queries, keys, piece);
      // The gradient of the scores, w·(dw − Σ w·dw); the sum over the keys is that of dy·y over the width.
      const dScores = ops.scope(() => {
        const dWeights = ops.batchMatMul(dRows, values, false, true);
        return ops.mul(weights, ops.sub(dWeights, rowsOf(ops, along, piece)));
      });
      const dk = ops.batchMatMul(dScores, queries, true);
      const dv = ops.batchMatMul(weights, dRows, true);
      const dq = ops.batchMatMul(dScores, keys);
      return [
        asPart(ops, dq, q),
        ...[dk, dv].map((part, i) => addAt(ops, sums[i], part, piece, k.shape[1]!)),
      ];
    });
    sums = dkv;
    dqParts.unshift(dq);
  }
  return [ops.concat(dqParts, 2), ...sums];
}

/** The three kernels side by side: one large product is faster than three. */
function kernelsOf(ops: NativeOps, inputs: NativeInputs): Native {
  return ops.concat([inputs['q']!, inputs['k']!, inputs['v']!], 1);
}

/** Their biases, `[1, columns]`. */
function biasesOf(ops: NativeOps, inputs: NativeInputs): Native {
  const all = ops.concat([inputs['qBias']!, inputs['kBias']!, inputs['vBias']!], 0);
  return ops.reshape(all, [1, all.shape[0]!]);
}

/** The matrices that turn queries, and scale them by 1/√width, and keys. */
function turns(ops: NativeOps, inputs: NativeInputs): {q: Native; k: Native} {
  const k = rotations(ops, inputs['cos']!, inputs['sin']!);
  return {q: ops.mul(k, ops.scalar(k.shape[2]! ** -0.5)), k};
}

/** `[batch, length, heads, width]` with the heads before the positions, reshaped. */
function byHeads(ops: NativeOps, x: Native, shape: readonly number[]): Native {
  return ops.reshape(ops.transpose(x, [0, 2, 1, 3]), shape);
}

/** Back to `[batch, length, heads, width]`, the given shape. */
function byTokens(ops: NativeOps, x: Native, shape: readonly number[]): Native {
  const [batch, length, heads, width] = shape as [number, number, number, number];
  return ops.transpose(ops.reshape(x, [batch, heads, length, width]), [0, 2, 1, 3]);
}

function pieces({shape}: Native, {window = Infinity}: OwLoreAttentionAttrs): Piece[] {
  const length = shape[2]!;
  const rows = Math.max(FEWEST_ROWS, Math.floor(SCORES / length));
  return Array.from({length: Math.ceil(length / rows)}, (_, i) => {
    const from = i * rows;
    const firstKey = Math.max(0, from - window + 1);
    return {from, to: Math.min(from + rows, length), firstKey, window};
  });
}

/** Of `[stack, group, length, width]` the rows of a piece, `[stack, group · rows, width]`. */
function rowsOf(ops: NativeOps, x: Native, {from, to}: Piece): Native {
  const [stack, group, length, width] = x.shape as [number, number, number, number];
  const rows = to - from;
  return ops.scope(() => {
    const isAll = rows === length;
    const ofPiece = isAll ? x : ops.slice(x, [0, 0, from, 0], [stack, group, rows, width]);
    return ops.reshape(ofPiece, [stack, group * rows, width]);
  });
}

/** `[stack, group · rows, width]` of a piece as a part of a tensor like `q`, `[stack, group, rows, width]`. */
function asPart(ops: NativeOps, x: Native, {shape: [stack, group]}: Native): Native {
  const [, rows, width] = x.shape as [number, number, number];
  return ops.reshape(x, [stack!, group!, rows / group!, width]);
}

/** Keys or values that a piece's queries see, of `[stack, length, width]`. */
function keysOf(ops: NativeOps, x: Native, {firstKey, to}: Piece): Native {
  const [stack, length, width] = x.shape as [number, number, number];
  const keys = to - firstKey;
  return keys === length ? x : ops.slice(x, [0, firstKey, 0], [stack, keys, width]);
}

/** Softmax of the visible scores, `[stack, group · rows, keys]`. */
function attentionWeights(ops: NativeOps, queries: Native, keys: Native, piece: Piece): Native {
  return ops.scope(() => {
    const scores = ops.batchMatMul(queries, keys, false, true);
    const {from, to, firstKey} = piece;
    const ofHeads = ops.reshape(scores, [-1, to - from, to - firstKey]);
    const masked = ops.add(ofHeads, causalMask(ops, piece));
    return ops.reshape(ops.softmax(masked), scores.shape);
  });
}

/**
 * `[rows, keys]`: 0 where the query (row) sees the key (column), else `HIDDEN`. Made by ops, for as a constant of a graph it would
 * take memory all the time.
 */
function causalMask(ops: NativeOps, {from, to, firstKey, window}: Piece): Native {
  const T = ops.int32;
  const positions = (from: number, to: number, shape: number[]): Native =>
    ops.constant(
      Int32Array.from({length: to - from}, (_, i) => from + i),
      shape,
    );
  return ops.scope(() => {
    const keys = positions(firstKey, to, [1, to - firstKey]);
    const isLater = ops.run('Greater', [keys, positions(from, to, [to - from, 1])], {T});
    const mask = ops.select(isLater, ops.scalar(HIDDEN), ops.scalar(0));
    if (window >= to) return mask;
    const tooEarly = positions(from - window, to - window, [to - from, 1]);
    const isTooEarly = ops.run('LessEqual', [keys, tooEarly], {T});
    return ops.select(isTooEarly, ops.scalar(HIDDEN), mask);
  });
}

/** `sum` `[stack, length, width]`, if there is one yet, plus `part` at a piece's keys. */
function addAt(
  ops: NativeOps,
  sum: Native | undefined,
  part: Native,
  {firstKey, to}: Piece,
  length: number,
): Native {
  const [stack, , width] = part.shape as [number, number, number];
  return ops.scope(() => {
    const rest = [firstKey, length - to].map((keys) => ops.zeros([stack, keys, width]));
    const [before, after] = rest.map((x) => (x.shape[1] === 0 ? [] : [x]));
    const whole = ops.concat([...before!, part, ...after!], 1);
    return sum ? ops.add(sum, whole) : whole;
  });
}
