import * as tf from '@tensorflow/tfjs-core';
import {readTensors, toTensor} from './fixtures';
import type {TrainingCase} from './training_run';

/** A run of `llama_train`. */
export interface LlamaCase extends TrainingCase {
  model: 'llama2' | 'smollm2';
  lr: number;
}

/** The sequences of all steps, one batch after the other, each position labelled with the next token. */
export function readBatches({
  model,
  steps,
  accumulate,
  batch,
}: Pick<LlamaCase, 'model' | 'steps' | 'accumulate' | 'batch'>): [tf.Tensor, tf.Tensor] {
  const recorded = readTensors(`llama_train/${model}_batches`).get('ids')!;
  const [batches, , length] = recorded.shape as [number, number, number];
  return tf.tidy(() => {
    const all = tf.reshape(toTensor(recorded), [batches * batch, length]);
    const ids = tf.slice(all, 0, steps * accumulate * batch);
    // The last position has no next token.
    const labels = tf.pad(
      tf.slice(ids, [0, 1], [-1, length - 1]),
      [
        [0, 0],
        [0, 1],
      ],
      -100,
    );
    return [ids, tf.expandDims(labels, 2)];
  });
}
