import type * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {onlyInput} from '../../../src/llama/layer';

/** The shapes `[rows, tokens]` of what a model's first block is given, while `body` runs. */
export async function passesThrough(
  model: tfl.LayersModel,
  body: () => Promise<unknown>,
): Promise<Array<[rows: number, tokens: number]>> {
  const block = model.layers.find((layer) => layer.getClassName() === 'LlamaBlock')!;
  const passes: Array<[number, number]> = [];
  const {call} = block;
  block.call = (inputs: tf.Tensor | tf.Tensor[], kwargs) => {
    const [rows, tokens] = onlyInput(inputs).shape as [number, number];
    passes.push([rows, tokens]);
    return call.call(block, inputs, kwargs);
  };
  try {
    await body();
  } finally {
    block.call = call;
  }
  return passes;
}
