import * as tf from '@tensorflow/tfjs-core';
import {piecesOf, type Piece} from '../kernels/pieces';
import {customOp} from './custom_op';
import type {HeadKernel} from './deferred_head';
import {linear} from './linear';

/** Numbers of the largest tensors that a piece of the vocabulary makes; 4 MB. */
export const PIECE_SIZE = 2 ** 20;

/** Up to so many hidden states are multiplied with a packed head as it is, which takes longer for many than to widen it first. */
const FEW_STATES = 32;

/** Some consecutive tokens of the vocabulary. */
export interface HeadPiece {
  from: number;
  count: number;
  /** Their rows `[count, hidden]` of the head where it is transposed, otherwise their columns `[hidden, count]`. */
  kernel: tf.Tensor2D;
}

/** How many tokens the vocabulary of a head has. */
export function vocabularyOf({kernel, transposed}: HeadKernel): number {
  return kernel.shape[transposed ? 0 : 1]!;
}

/**
 * Calls `f` for one piece of the vocabulary after the other, with what it gave for the piece before, and null for the first; that
 * is freed then. So is a piece of the kernel, and all else that `f` makes.
 *
 * @param n How many hidden states the head is applied to.
 * @returns what `f` gave for the last piece.
 */
export function foldPieces<T extends tf.TensorContainer>(
  head: HeadKernel,
  n: number,
  f: (piece: HeadPiece, before: T | null) => T,
): T {
  let result: T | null = null;
  for (const {from, count, isStandIn} of pieces(head, n)) {
    if (isStandIn) continue;
    const before: T | null = result;
    result = tf.tidy<T>(() => f({from, count, kernel: pieceOf(head, from, count)}, before));
    if (before) tf.dispose(before);
  }
  return result!;
}

function pieces(head: HeadKernel, n: number): Generator<Piece> {
  const [vocab, width] = [vocabularyOf(head), head.kernel.shape[head.transposed ? 1 : 0]!];
  return piecesOf(vocab, Math.max(1, Math.floor(PIECE_SIZE / Math.max(width, n))));
}

function pieceOf({kernel, transposed}: HeadKernel, from: number, count: number): tf.Tensor2D {
  const [rows, columns] = kernel.shape as [number, number];
  const begin: [number, number] = transposed ? [from, 0] : [0, from];
  const shape: [number, number] = transposed ? [count, columns] : [rows, count];
  if (!(kernel instanceof tf.Tensor)) return kernel.window(begin, shape);
  // tfjs's slice on wasm first copies all that it takes a part of
  if (transposed) return tf.gather(kernel as tf.Tensor2D, tf.range(from, from + count, 1, 'int32'));
  return tf.slice(kernel as tf.Tensor2D, begin, shape);
}

/** Logits `[n, count]` of hidden states `[n, hidden]`. */
export function pieceLogits(
  hidden: tf.Tensor2D,
  {kernel}: HeadPiece,
  transposed: boolean,
): tf.Tensor2D {
  return tf.matMul(hidden, kernel, false, transposed);
}

/** What the hidden states get back of the gradient `[n, count]` of such logits, `[n, hidden]`. */
export function pieceGradient(
  dy: tf.Tensor2D,
  {kernel}: HeadPiece,
  transposed: boolean,
): tf.Tensor2D {
  return tf.matMul(dy, kernel, false, !transposed);
}

/** Logits `[batch, seq, vocab]` of hidden states `[batch, seq, hidden]`. Of a packed head only pieces are in memory at a time. */
export function headLogits(hidden: tf.Tensor, head: HeadKernel): tf.Tensor {
  const {kernel, transposed} = head;
  if (kernel instanceof tf.Tensor) return linear(hidden, kernel, transposed);
  const [batch, seq, width] = hidden.shape as [number, number, number];
  const n = batch * seq;
  const logits = customOp({
    inputs: [tf.reshape(hidden, [n, width])],
    kept: [],
    forward: () => {
      const x = tf.reshape<tf.Rank.R2>(hidden, [n, width]);
      const product = n <= FEW_STATES ? kernel.product(x, transposed) : null;
      if (product) return product;
      const parts: tf.Tensor2D[] = [];
      for (const {from, count} of pieces(head, n)) {
        parts.push(
          tf.tidy(() =>
            pieceLogits(x, {from, count, kernel: pieceOf(head, from, count)}, transposed),
          ),
        );
      }
      return parts.length > 1 ? tf.concat(parts, 1) : parts[0]!;
    },
    gradient: (dy) => [
      foldPieces<tf.Tensor2D>(head, n, (piece, before) => {
        const pieceDy = tf.slice(dy as tf.Tensor2D, [0, piece.from], [n, piece.count]);
        const part = pieceGradient(pieceDy, piece, transposed);
        return before ? tf.add(before, part) : part;
      }),
    ],
  });
  return tf.reshape(logits, [batch, seq, -1]);
}
