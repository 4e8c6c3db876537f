import type {
  OwLoreAttentionAttrs,
  OwLoreAttentionGradAttrs,
  OwLoreBlockAttrs,
} from '../llama/kernel_names';
import {
  headSizes,
  projectToHeads,
  projectToHeadsGrad,
  toGroups,
  toTokens,
  type Heads,
  type HeadSizes,
} from './heads';
import type {NativeInputs, NativeKernel} from './kernel';
import type {Native, NativeOps} from './native_ops';

/** For a block: whether the attention weights of each piece are returned as well, after all other results. */
export type KeepsWeights = Partial<Pick<OwLoreBlockAttrs, 'keepsWeights'>>;

/** How many positions' queries are worked on at a time: no scores are computed for the keys after them. */
const ROWS = 128;

/** Added to the score of a key that a query may not see. */
const HIDDEN = -1e9;

/** Positions from `from` to before `to`. Each key from `firstKey` to before `to` is seen by at least one of their queries. */
interface Piece {
  from: number;
  to: number;
  firstKey: number;
  /** How many keys a query sees at most. */
  window: number;
}

/** OwLoreAttention. */
export const attention: NativeKernel<OwLoreAttentionAttrs & KeepsWeights> = (
  ops,
  inputs,
  attrs,
) => {
  const sizes = headSizes(inputs, attrs);
  const [q, k, v] = projectToHeads(ops, inputs, sizes, attrs);
  const [y, ...weights] = ops.scope(() => {
    const parts = pieces(q, attrs).map((piece) =>
      ops.scope((): [Native, ...Native[]] => {
        const weights = attentionWeights(ops, rowsOf(ops, q, piece), keysOf(ops, k, piece), piece);
        const part = asPart(ops, ops.batchMatMul(weights, keysOf(ops, v, piece)), q);
        return attrs.keepsWeights ? [part, weights] : [part];
      }),
    );
    const mixed = parts.map(([part]) => part);
    return [
      toTokens(ops, ops.concat(mixed, 2), sizes),
      ...parts.flatMap(([, ...weights]) => weights),
    ];
  });
  return [y, q, k, v, ...weights];
};

/** OwLoreAttentionGrad. */
export const attentionGrad: NativeKernel<OwLoreAttentionGradAttrs> = (ops, inputs, attrs) => {
  const sizes = headSizes(inputs, attrs);
  const dHeads = (): Heads => gradientsByHeads(ops, inputs, sizes, attrs);
  return projectToHeadsGrad(ops, inputs, dHeads, sizes, attrs);
};

/** The gradients by queries, keys and values. */
function gradientsByHeads(
  ops: NativeOps,
  inputs: NativeInputs,
  sizes: HeadSizes,
  attrs: OwLoreAttentionAttrs,
): Heads {
  const [q, k, v] = [inputs['queries']!, inputs['keys']!, inputs['values']!];
  const {dy, y} = inputs;
  const dMixed = toGroups(ops, dy!, sizes);
  const alongWidth =
    y &&
    ops.scope(() => {
      const products = ops.reshape(ops.mul(dy!, y), [dy!.shape[0]!, -1, sizes.width]);
      return toGroups(ops, ops.sum(products, 2), sizes);
    });
  const dqParts: Native[] = [];
  let sums: Native[] = [];
  // From the last positions, which without a window see all keys, to the first.
  for (const [i, piece] of [...pieces(q, attrs).entries()].reverse()) {
    const [dq, ...dkv] = ops.scope(() => {
      const queries = rowsOf(ops, q, piece);
      const [keys, values] = [keysOf(ops, k, piece), keysOf(ops, v, piece)];
      const dRows = rowsOf(ops, dMixed, piece);
      const weights = inputs[`weights${i}`] ?? attentionWeights(ops, queries, keys, piece);
      // The gradient of the scores, w·(dw − Σ w·dw); the sum over the keys is that of dy·y over the width, where y is known.
      const dScores = ops.scope(() => {
        const dWeights = ops.batchMatMul(dRows, values, false, true);
        const along = alongWidth
          ? rowsOf(ops, alongWidth, piece)
          : ops.sum(ops.mul(weights, dWeights), 2);
        return ops.mul(weights, ops.sub(dWeights, along));
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
  const [dk, dv] = sums;
  return [ops.concat(dqParts, 2), dk!, dv!];
}

function pieces({shape}: Native, {window = Infinity}: OwLoreAttentionAttrs): Piece[] {
  const length = shape[2]!;
  return Array.from({length: Math.ceil(length / ROWS)}, (_, i) => {
    const from = i * ROWS;
    const firstKey = Math.max(0, from - window + 1);
    return {from, to: Math.min(from + ROWS, length), firstKey, window};
  });
}

/** The rows of a piece from `[stack, group, length, width]`, as `[stack, group · rows, width]`. */
function rowsOf(ops: NativeOps, x: Native, {from, to}: Piece): Native {
  const [stack, group, length, width] = x.shape as [number, number, number, number];
  const rows = to - from;
  return ops.scope(() => {
    const isAll = rows === length;
    const pieceRows = isAll ? x : ops.slice(x, [0, 0, from, 0], [stack, group, rows, width]);
    return ops.reshape(pieceRows, [stack, group * rows, width]);
  });
}

/** `[stack, group · rows, width]` of a piece, reshaped to a part of a tensor like `q`, `[stack, group, rows, width]`. */
function asPart(ops: NativeOps, x: Native, {shape: [stack, group]}: Native): Native {
  const [, rows, width] = x.shape as [number, number, number];
  return ops.reshape(x, [stack!, group!, rows / group!, width]);
}

/** The keys or values that a piece's queries see, from `[stack, length, width]`. */
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
    const headScores = ops.reshape(scores, [-1, to - from, to - firstKey]);
    const masked = ops.add(headScores, causalMask(ops, piece));
    return ops.reshape(ops.softmax(masked), scores.shape);
  });
}

/**
 * `[rows, keys]`: 0 where the query (row) sees the key (column), else `HIDDEN`. Made by ops, because as a constant of a graph it
 * would take memory all the time.
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

/** `part` added to `sum` `[stack, length, width]` at a piece's keys; `sum` may be missing at first. */
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
