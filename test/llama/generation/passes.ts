import type * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {onlyInput} from '../../../src/llama/layer';

/**
 * The shapes `[rows, tokens]` of the ids that a model reads, while `body` runs. All passes look ids up, also those whose blocks are one
 * kernel together.
 */
export async function passesThrough(
  model: tfl.LayersModel,
  body: () => Promise<unknown>,
): Promise<Array<[rows: number, tokens: number]>> {
  const embedding = model.layers.find((layer) => layer.getClassName() === 'LlamaEmbedding')!;
  const passes: Array<[number, number]> = [];
  const {call} = embedding;
  embedding.call = (inputs: tf.Tensor | tf.Tensor[], kwargs) => {
    const {shape, dtype} = onlyInput(inputs);
    // a tied embedding gives logits, too
    if (dtype === 'int32') passes.push(shape as [number, number]);
    return call.call(embedding, inputs, kwargs);
  };
  try {
    await body();
  } finally {
    embedding.call = call;
  }
  return passes;
}
