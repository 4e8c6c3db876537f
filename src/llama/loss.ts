import * as tf from '@tensorflow/tfjs-core';
import {OwLoreCrossEntropyGrad} from '../kernels/llama/kernel_names';
import {hasKernel} from '../kernels/run_kernel';
import {checkArgument} from '../common/options';
import {inChunks} from './chunks';
import {customOp} from './custom_op';
import {deferredHead} from './deferred_head';
import {headCrossEntropy} from './head_loss';
import {CHUNK_SIZE, lossGradients, readTargets, sumOfLosses} from './row_losses';

/**
 * Mean cross-entropy, in nats, of integer labels under logits; a loss for `model.compile` and for
 * custom loops.
 *
 * Label and logits of one position belong together: for a language model the label is the *next*
 * token, so shift the labels, not the logits. Beside the logits and their gradient it needs memory
 * for some rows at a time, and for the parts of the gradient while they are joined; with a model's
 * option `headInLoss` only the logits of some rows exist at a time.
 *
 * @param labels `[batch, seq, 1]` (which `model.fit` wants) or `[batch, seq]`, whole numbers below
 *   `vocab`, of any dtype. A negative one (Hugging Face's −100) is not counted.
 * @param logits `[batch, seq, vocab]`, finite.
 * @returns a scalar: the mean over the counted labels, 0 if there is none. On a backend that cannot be read within a step
 *   (webgpu, webgl) it is NaN if a label is not below `vocab`.
 * @throws if there are more labels than positions or fewer, or, on all other backends, one is not a whole number below `vocab`.
 */
export function sparseCrossEntropy(labels: tf.Tensor, logits: tf.Tensor): tf.Scalar {
  for (const [name, tensor] of Object.entries({labels, logits})) {
    checkArgument('sparseCrossEntropy', name, tensor, 'a tensor', tensor instanceof tf.Tensor);
  }
  const head = deferredHead(logits);
  return tf.tidy(() =>
    head ? headCrossEntropy(labels, logits, head) : crossEntropy(labels, logits),
  );
}

function crossEntropy(labels: tf.Tensor, logits: tf.Tensor): tf.Scalar {
  const vocab = logits.shape.at(-1)!;
  // A kernel makes no intermediate tensors, so that chunks would save nothing.
  const isFused = hasKernel(OwLoreCrossEntropyGrad);
  const rows = isFused ? Infinity : Math.max(1, Math.floor(CHUNK_SIZE / vocab));
  const perToken = tf.reshape(logits, [-1, vocab]);
  const {ids, weights} = readTargets(labels, perToken.shape[0], vocab);
  return customOp({
    inputs: [perToken],
    kept: [perToken, ids, weights],
    forward: () =>
      inChunks([perToken, ids, weights], rows, (x, y, w) => ({summed: [sumOfLosses(x, y, w)]}))
        .summed[0]!,
    gradient: (dy, kept) => {
      const [perToken, ids, weights] = kept as [tf.Tensor, tf.Tensor, tf.Tensor];
      return inChunks([perToken, ids, tf.mul(weights, dy)], rows, (x, y, w) => ({
        joined: [lossGradients(x, y, w)],
      })).joined;
    },
  }) as tf.Scalar;
}
