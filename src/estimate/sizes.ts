/** What an estimate has to know of a model: the shapes of its weights, and for LLaMA-style ones the sizes inside. */
import type * as tfl from '@tensorflow/tfjs-layers';
import {isObject, show} from '../files/json';
import {architectures} from '../llama/architectures';
import {
  embedding,
  finalNorm,
  head,
  modelShape,
  sizesOf,
  type Weight,
} from '../llama/architectures/weights';
import {LlamaBlock} from '../llama/block';
import type {ResolvedConfig} from '../llama/config';
import {readConfigJson} from '../llama/files/config_json';
import {configOfModel} from '../llama/files/model_config';
import {isModel} from '../model/layer_tree';
import {resolveBlocks} from '../model/blocks';

export type Shape = readonly number[];

export interface ModelSizes {
  /** Shapes of the weights of each block. */
  blocks: readonly Shape[][];
  /** Names of the weights of a block, as peft has its modules, in their order; null for a model that is not LLaMA-style. */
  names: readonly string[] | null;
  /** Shapes of the matrices with a row or a column for each token: embedding and head, one if they are tied. */
  vocabulary: readonly Shape[];
  /** Shapes of all other weights, which a method that trains embedding and head trains, too. */
  others: readonly Shape[];
  /** Null for a model that is not LLaMA-style. */
  llama: ResolvedConfig | null;
}

export function numbersIn(shapes: readonly Shape[]): number {
  return shapes.reduce((sum, shape) => sum + shape.reduce((product, size) => product * size, 1), 0);
}

/** Of a `config.json`, or of a model. */
export function sizesOfModel(owner: string, configOrModel: unknown): ModelSizes {
  if (isLayersModel(configOrModel)) return sizesOfLayers(owner, configOrModel);
  if (!isObject(configOrModel)) {
    throw new Error(
      `${owner}: the first argument must be the object in a model's config.json or a tf.LayersModel; got ${show(configOrModel)}`,
    );
  }
  // finetune applies the head in the loss
  return sizesOfConfig({...readConfigJson(owner, configOrModel), headInLoss: true});
}

export function isLayersModel(value: unknown): value is tfl.LayersModel {
  // isModel only looks at members, which anything may lack.
  return isObject(value) && isModel(value as unknown as tfl.layers.Layer);
}

function sizesOfConfig(config: ResolvedConfig): ModelSizes {
  const sizes = sizesOf(config);
  const shapeOf = (weight: Weight): Shape => modelShape(weight, sizes);
  const {weights} = architectures[config.architecture];
  const block = Object.values(weights).map(shapeOf);
  return {
    blocks: Array.from({length: config.numHiddenLayers}, () => block),
    names: Object.values(weights).map(({name}) => name.replace(/\.weight$/, '')),
    vocabulary: (config.tieWordEmbeddings ? [embedding] : [embedding, head]).map(shapeOf),
    others: [shapeOf(finalNorm)],
    llama: config,
  };
}

function sizesOfLayers(owner: string, model: tfl.LayersModel): ModelSizes {
  if (model.layers.some((layer) => layer instanceof LlamaBlock)) {
    return sizesOfConfig(configOfModel(owner, model));
  }
  const blocks = resolveBlocks(model);
  const inBlocks = new Set(blocks.flatMap(({weights}) => weights));
  const rest = model.weights.filter((weight) => !inBlocks.has(weight));
  return {
    blocks: blocks.map(({weights}) => weights.map(({shape}) => shape as Shape)),
    names: null,
    vocabulary: [],
    others: rest.map(({shape}) => shape as Shape),
    llama: null,
  };
}
