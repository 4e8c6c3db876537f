import * as tf from '@tensorflow/tfjs-core';
import type {PackedMatrix} from '../model/packed_matrix';

/** The linear map from hidden states to logits. */
export interface HeadKernel {
  /** `[hidden, vocab]`, or `[vocab, hidden]` where `transposed`. */
  kernel: tf.Tensor | PackedMatrix;
  transposed: boolean;
}

/** By what the head gives in the place of logits, which is all that `fit` hands to a loss. */
const heads = new WeakMap<tf.Tensor, HeadKernel>();

/**
 * A model's output if the loss will apply the head: the hidden states, as a new tensor. A loss sees only
 * this tensor of a model, so the head is remembered for it.
 */
export function deferHead(hidden: tf.Tensor, head: HeadKernel): tf.Tensor {
  const output = tf.reshape(hidden, hidden.shape);
  heads.set(output, head);
  return output;
}

/** Whether a call of the head's layer leaves it to the loss: in training, if the model is made so, and where `kwargs` ask for it. */
export function isDeferred(headInLoss: boolean, kwargs: Record<string, unknown>): boolean {
  return kwargs['deferHead'] === true || (headInLoss && kwargs['training'] === true);
}

/** The head that must still be applied to a model's output; undefined for logits. */
export function deferredHead(output: tf.Tensor): HeadKernel | undefined {
  return heads.get(output);
}
