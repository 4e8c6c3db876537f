import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {loadBackend} from '../../tools/load_backend';
import {serializeSafetensors} from '../../src/files/safetensors';
import {getLlamaWeights, type HostTensor} from '../../src/llama';
import {trainedSets, Training, type Shape} from '../harness/workload';

/**
 * Gives `body` a file that says where every training of the reference workload starts, for those that are not done by tfjs:
 * safetensors with the weights as Hugging Face names and stores them, and the batch as `ids` and `labels`, in float32 too.
 */
export async function withStartPoint<T>(
  shape: Shape,
  body: (file: string) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'owlore-bench-'));
  try {
    const file = join(folder, 'start.safetensors');
    writeFileSync(file, serializeSafetensors(await startPoint(shape)));
    return await body(file);
  } finally {
    rmSync(folder, {recursive: true});
  }
}

async function startPoint(shape: Shape): Promise<Map<string, HostTensor>> {
  await loadBackend('cpu');
  await tf.setBackend('cpu');
  const training = new Training({shape, trained: trainedSets.full, variant: 'none'});
  const tensors = await getLlamaWeights(training.model);
  for (const [i, name] of ['ids', 'labels'].entries()) {
    const values = Float32Array.from(await training.batch[i]!.data());
    tensors.set(name, {shape: [shape.batch, shape.length], values});
  }
  training.dispose();
  return tensors;
}
