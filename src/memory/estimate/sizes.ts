/** What an estimate has to know of a LLaMA-style model: the shapes of its weights, and the sizes inside. */
import type * as tfl from '@tensorflow/tfjs-layers';
import {isObject} from '../../files/json';
import {architectures} from '../../llama/architectures';
import {
  embedding,
  finalNorm,
  head,
  modelShape,
  sizesOf,
  type Weight,
} from '../../llama/architectures/weights';
import {LlamaBlock} from '../../llama/block';
import {resolveConfig, type LlamaConfig, type ResolvedConfig} from '../../llama/config';
import {readConfigJson} from '../../llama/files/config_json';
import {configOfModel} from '../../llama/files/model_config';
import {isModel} from '../../tfjs/layer_tree';
import {checkFlag, display} from '../../common/options';

export type Shape = readonly number[];

export interface ModelSizes {
  /** Shapes of the weights of each block. */
  blocks: readonly Shape[][];
  /** Names of the weights of a block, as peft has its modules, in their order. */
  names: readonly string[];
  /** Shapes of the matrices with a row or a column for each token: embedding and head, one if they are tied. */
  vocabulary: readonly Shape[];
  /** Shapes of all other weights, which a method that trains embedding and head trains, too. */
  others: readonly Shape[];
  llama: ResolvedConfig;
}

export function numbersIn(shapes: readonly Shape[]): number {
  return shapes.reduce((sum, shape) => sum + shape.reduce((product, size) => product * size, 1), 0);
}

/** The matrices of blocks, which LoRA can adapt, as `lora/targets` knows them. */
export function adaptableMatrices({
  blocks,
  names,
}: ModelSizes): Array<{module: string; layer: string; shape: Shape; isAtEnd: boolean}> {
  return blocks.flatMap((shapes, i) =>
    names.flatMap((name, place) => {
      const [layer, shape] = [`model.layers.${i}`, shapes[place]!];
      return shape.length === 2 ? [{module: `${layer}.${name}`, layer, shape, isAtEnd: false}] : [];
    }),
  );
}

/**
 * Of a `config.json`, of the options of `createLlama`, or of a model; null of one that is not LLaMA-style.
 *
 * @param headInLoss Whether the loss applies the head. A model knows it, and options of `createLlama` may say it.
 * @throws Error that names the key of the config; of a model, if `headInLoss` is given.
 */
export function sizesOfModel(
  owner: string,
  configOrModel: unknown,
  headInLoss?: boolean,
): ModelSizes | null {
  if (headInLoss !== undefined) checkFlag(owner, 'headInLoss', headInLoss);
  if (isLayersModel(configOrModel)) {
    if (headInLoss !== undefined) {
      throw new Error(
        `${owner}: headInLoss has no meaning with a model, which was made with it or without; leave it out`,
      );
    }
    const isLlama = configOrModel.layers.some((layer) => layer instanceof LlamaBlock);
    return isLlama ? sizesOfConfig(configOfModel(owner, configOrModel)) : null;
  }
  if (!isObject(configOrModel)) {
    throw new Error(
      `${owner}: the first argument must be the object in a model's config.json or a tf.LayersModel; got ${display(configOrModel)}`,
    );
  }
  // what `resolveConfig` gets it checks itself
  const config =
    'vocabSize' in configOrModel
      ? resolveConfig(configOrModel as unknown as LlamaConfig)
      : readConfigJson(owner, configOrModel);
  return sizesOfConfig({...config, ...(headInLoss !== undefined && {headInLoss})});
}

function isLayersModel(value: unknown): value is tfl.LayersModel {
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
