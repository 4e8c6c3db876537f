import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import type {FixtureTensor} from './fixtures';
import {toTensor} from './fixtures';

/** The plain model of the `mlp_train` and `owl/mlp_*` fixtures. */
export interface PlainModelOptions {
  blocks: number;
  pool: 'mean' | 'flatten';
  activation: 'tanh' | 'relu';
  /** `init.embedding`, `init.block0.fc1.kernel`, … */
  weights: Map<string, FixtureTensor>;
  sequenceLength: number;
}

/**
 * `h = pool(embedding[ids])`, then `h + act(h W1 + b1) W2 + b2` for each block, then a head without activation. Layers
 * are called as in the fixtures: `embedding`, `block0.fc1`, `block0.fc2`, …, `head`.
 */
export function createPlainModel(options: PlainModelOptions): tfl.LayersModel {
  const {blocks, pool, activation, weights, sequenceLength} = options;
  const units = (name: string): number => weights.get(`init.${name}.kernel`)!.shape[1]!;
  const [inputDim, outputDim] = weights.get('init.embedding')!.shape as [number, number];
  const ids = tfl.input({shape: [sequenceLength], dtype: 'int32'});
  const embedded = tfl.layers.embedding({name: 'embedding', inputDim, outputDim}).apply(ids);
  const pooling = pool === 'mean' ? tfl.layers.globalAveragePooling1d() : tfl.layers.flatten();
  let h = pooling.apply(embedded) as tfl.SymbolicTensor;
  for (let i = 0; i < blocks; i++) {
    const fc1 = tfl.layers.dense({
      name: `block${i}.fc1`,
      units: units(`block${i}.fc1`),
      activation,
    });
    const fc2 = tfl.layers.dense({name: `block${i}.fc2`, units: units(`block${i}.fc2`)});
    h = tfl.layers.add().apply([h, fc2.apply(fc1.apply(h)) as tfl.SymbolicTensor]) as typeof h;
  }
  const head = tfl.layers.dense({name: 'head', units: units('head')}).apply(h);
  const model = tfl.model({inputs: ids, outputs: head as tfl.SymbolicTensor});
  for (const [name, variable] of plainModelWeights(model)) {
    const value = toTensor(weights.get(`init.${name}`)!);
    variable.assign(value);
    value.dispose();
  }
  return model;
}

/** The variables of a plain model by their names in the fixtures: `embedding`, `block0.fc1.kernel`, `head.bias`, … */
export function plainModelWeights(model: tfl.LayersModel): Map<string, tf.Variable> {
  const variables = new Map<string, tf.Variable>();
  for (const layer of model.layers) {
    for (const weight of layer.weights) {
      const kind = weight.originalName.split('/').at(-1)!;
      const name = layer.name === 'embedding' ? 'embedding' : `${layer.name}.${kind}`;
      variables.set(name, weight.read() as tf.Variable);
    }
  }
  return variables;
}
