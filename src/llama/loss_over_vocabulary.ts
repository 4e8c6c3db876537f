import * as tf from '@tensorflow/tfjs-core';
import {isRecording, needsGradient} from '../tape/recording';
import {isInGradient} from '../tfjs/engine';
import {customOp} from './custom_op';
import type {HeadKernel} from './deferred_head';
import {foldPieces, pieceGradient, pieceLogits, type HeadPiece} from './head_pieces';
import type {Targets} from './row_losses';
import {headGradient} from './vocabulary_gradient';

/** What is known of each hidden state after some tokens of the vocabulary. */
interface Sums extends tf.TensorContainerObject {
  /** The largest logit so far, `[n, 1]`. */
  largest: tf.Tensor;
  /** Σ exp(logit − largest), `[n, 1]`. */
  sum: tf.Tensor;
  /** Σ exp(logit − largest) · the token's row of the kernel, `[n, hidden]`; only if the gradient is asked for. */
  mean?: tf.Tensor;
  /** The label's row of the kernel, or zeros if the label comes later, `[n, hidden]`. */
  labelRow: tf.Tensor;
}

/**
 * Σ weight · cross-entropy of the head's logits, by the logits of some tokens of the vocabulary at a time; each piece of the kernel
 * is read once, and widened once if it is packed. The sums of the softmax are scaled to the largest logit so far (online softmax,
 * Milakov & Gimelshein 2018). The softmax's mean of the kernel's rows, which is most of the gradient, is summed in the same pass as
 * attention's value is in FlashAttention (Dao et al. 2022), so that the logits are not computed again for it.
 *
 * The kernel may be packed. Its gradient, if one is asked for, is factored.
 */
export function lossOverVocabulary(
  perToken: tf.Tensor2D,
  {ids, weights}: Targets,
  head: HeadKernel,
): tf.Scalar {
  const {kernel, transposed} = head;
  const isDifferentiated = isRecording() || isInGradient();
  const hasMean = isDifferentiated && needsGradient(perToken);
  return customOp({
    inputs: kernel instanceof tf.Tensor ? [perToken, kernel] : [perToken],
    kept: [perToken, ids, weights],
    keepsResults: true,
    forward: () => {
      const {largest, sum, mean, labelRow} = foldPieces<Sums>(
        head,
        perToken.shape[0],
        (piece, before) => next(before, perToken, ids, {piece, transposed, hasMean}),
      );
      const logSumExp = tf.squeeze(tf.add(largest, tf.log(sum)), [1]);
      const labelLogits = tf.sum(tf.mul(perToken, labelRow), 1);
      const loss = tf.sum(tf.mul(weights, tf.sub(logSumExp, labelLogits)));
      return [loss, logSumExp, ...(mean ? [tf.sub(tf.div(mean, sum), labelRow)] : [])];
    },
    gradient: (dy, kept, [hiddenNeeded, kernelNeeded]) => {
      const [perToken, ids, weights, , logSumExp, perHidden] = kept as [
        ...[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor],
        tf.Tensor | undefined,
      ];
      const weighted = tf.mul(weights, dy);
      const terms = {hidden: perToken, logSumExp, labels: ids, weights: weighted};
      const shape = kernel.shape as [number, number];
      return [
        hiddenNeeded ? tf.mul(perHidden!, tf.expandDims(weighted, 1)) : null,
        kernelNeeded ? headGradient(shape, transposed ? 0 : 1, terms) : null,
      ];
    },
  }) as tf.Scalar;
}

function next(
  before: Sums | null,
  x: tf.Tensor2D,
  ids: tf.Tensor,
  {piece, transposed, hasMean}: {piece: HeadPiece; transposed: boolean; hasMean: boolean},
): Sums {
  const logits = pieceLogits(x, piece, transposed);
  const own = tf.max(logits, 1, true);
  const largest = before ? tf.maximum(before.largest, own) : own;
  const exps = tf.tidy(() => tf.exp<tf.Tensor2D>(tf.sub(logits, largest)));
  logits.dispose();
  const scale = before && tf.exp(tf.sub(before.largest, largest));
  const added = (old: tf.Tensor | undefined, fresh: tf.Tensor): tf.Tensor =>
    old ? tf.add(tf.mul(old, scale!), fresh) : fresh;
  const labelRow = labelRows(ids, piece, transposed);
  return {
    largest,
    sum: added(before?.sum, tf.sum(exps, 1, true)),
    ...(hasMean && {mean: added(before?.mean, pieceGradient(exps, piece, transposed))}),
    labelRow: before ? tf.add(before.labelRow, labelRow) : labelRow,
  };
}

/** The kernel's rows `[n, hidden]` of the labels that are in a piece, zeros for the others. */
function labelRows(
  ids: tf.Tensor,
  {from, count, kernel}: HeadPiece,
  transposed: boolean,
): tf.Tensor {
  return tf.tidy(() => {
    const places = tf.sub(ids, tf.scalar(from, 'int32'));
    const [zero, last] = [0, count - 1].map((place) => tf.scalar(place, 'int32'));
    const inside = tf.logicalAnd(tf.greaterEqual(places, zero!), tf.lessEqual(places, last!));
    const within = tf.minimum<tf.Tensor1D>(tf.maximum(places, zero!), last!);
    const found = transposed
      ? tf.gather(kernel, within)
      : tf.transpose(tf.gather(kernel, within, 1));
    return tf.mul(found, tf.expandDims(tf.cast(inside, 'float32'), 1));
  });
}
