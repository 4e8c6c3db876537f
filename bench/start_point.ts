import {writeFileSync} from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import {loadBackend} from '../scripts/load_backend';
import {getLlamaWeights, serializeSafetensors, type HostTensor} from '../src/llama';
import {referenceShape as shape, trainedSets, Training} from './workload';

/**
 * Writes where every training of the reference workload starts, for those that are not done by tfjs: a safetensors file with
 * the weights as Hugging Face names and stores them, and the batch as `ids` and `labels`, in float32 as well.
 */
export async function writeStartPoint(file: string): Promise<void> {
  await loadBackend('cpu');
  await tf.setBackend('cpu');
  const training = new Training({shape, trained: trainedSets.full, variant: 'none'});
  const tensors = await getLlamaWeights(training.model);
  for (const [i, name] of ['ids', 'labels'].entries()) {
    const tokens: HostTensor = {
      shape: [shape.batch, shape.length],
      values: Float32Array.from(await training.batch[i]!.data()),
    };
    tensors.set(name, tokens);
  }
  training.dispose();
  writeFileSync(file, serializeSafetensors(tensors));
}
