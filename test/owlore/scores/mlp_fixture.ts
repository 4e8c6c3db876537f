import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {readJson, readTensors, toTensor, type FixtureTensor} from '../../support/fixtures';

/** `owl/mlp_mean` or `owl/mlp_flatten`. */
export interface MlpFixture {
  model: {blocks: number; pool: 'mean' | 'flatten'; act: 'tanh' | 'relu'};
  granularity: Record<'block' | 'layer', Record<string, {counts: number[]; ratios: number[]}>>;
  numel: number[];
  relativeMagnitude: Array<Record<'sumFro' | 'sumAbs' | 'meanAbs', number>>;
  blockInfluence: number[];
  tolerance: Record<'norms' | 'blockInfluence', {rtol: number; atol: number; rms: number}>;
  tensors: Map<string, FixtureTensor>;
}

export function readMlp(name: string): MlpFixture {
  const tensors = readTensors(`owl/${name}`);
  return {...readJson<Omit<MlpFixture, 'tensors'>>(`owl/${name}`), tensors};
}

/** The plain model of the fixture; with `nested` each block is a model of its own, else flat layers. */
export function buildMlp({model, tensors}: MlpFixture, {nested = false} = {}): tfl.LayersModel {
  const table = tensors.get('weights.embedding')!.shape as [number, number];
  const width = tensors.get('weights.head.kernel')!.shape[0]!;
  const sequence = tensors.get('ids')!.shape[1]!;
  const ids = tfl.input({shape: [sequence], dtype: 'int32'});
  const embedding = tfl.layers.embedding({inputDim: table[0], outputDim: table[1], name: 'embed'});
  const pool = model.pool === 'mean' ? tfl.layers.globalAveragePooling1d({}) : tfl.layers.flatten();
  let hidden = pool.apply(embedding.apply(ids)) as tfl.SymbolicTensor;
  const fills: Array<[tfl.layers.Layer, string[]]> = [[embedding, ['weights.embedding']]];

  const dense = (name: string, activation?: 'tanh' | 'relu') => {
    const [kernel, bias] = [`weights.${name}.kernel`, `weights.${name}.bias`];
    const units = tensors.get(bias)!.shape[0]!;
    const layer = tfl.layers.dense({units, activation, name});
    fills.push([layer, [kernel, bias]]);
    return layer;
  };
  for (let i = 0; i < model.blocks; i++) {
    const block = (input: tfl.SymbolicTensor) => {
      const inner = dense(`block${i}.fc1`, model.act).apply(input);
      const outer = dense(`block${i}.fc2`).apply(inner) as tfl.SymbolicTensor;
      return tfl.layers.add().apply([input, outer]) as tfl.SymbolicTensor;
    };
    if (nested) {
      const input = tfl.input({shape: [width]});
      const blockModel = tfl.model({name: `block${i}`, inputs: input, outputs: block(input)});
      hidden = blockModel.apply(hidden) as tfl.SymbolicTensor;
    } else {
      hidden = block(hidden);
    }
  }
  const outputs = dense('head').apply(hidden) as tfl.SymbolicTensor;
  const built = tfl.model({inputs: ids, outputs});
  for (const [layer, names] of fills) {
    tf.tidy(() => layer.setWeights(names.map((name) => toTensor(tensors.get(name)!))));
  }
  return built;
}
