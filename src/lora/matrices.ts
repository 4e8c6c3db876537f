/** The matrices of a model that LoRA can adapt, under the names that peft's modules have, and those that are asked for. */
import * as tfl from '@tensorflow/tfjs-layers';
import {allLayers, isModel, type Layer, type LayerNode} from '../tfjs/layer_tree';
import {cut, display} from '../common/options';
import {ownWeights} from '../tfjs/models';
import {
  isTargeted,
  targetList,
  type LoraTarget,
  type LoraTargets,
  type TargetedName,
} from './targets';

/** A matrix that can be adapted. */
export interface Matrix {
  /** As a module in peft: the place of its layer, and its name in the layer if that has several. */
  module: string;
  layer: Layer;
  /** `[in, out]`, or `[rows, width]` of an embedding. */
  weight: tfl.LayerVariable;
  /** Whether rows of it are looked up. */
  isEmbedding: boolean;
}

/** Whether a module is one of a language model of transformers. */
export function isOfLanguageModel(module: string): boolean {
  return module.startsWith('model.layers.');
}

/**
 * What peft's `target_modules` has for some modules of a model: the end of their names, such as `q_proj`, where they are all that have
 * it in a language model.
 *
 * @param all The modules that there are.
 */
export function targetModules(modules: readonly string[], all: readonly string[]): string[] {
  const endOf = (module: string): string =>
    isOfLanguageModel(module) ? module.split('.').at(-1)! : module;
  return [...new Set(modules.map(endOf))].flatMap((end) => {
    const those = modules.filter((module) => endOf(module) === end);
    return those.length === all.filter((module) => endOf(module) === end).length ? end : those;
  });
}

/** @throws Error if a matrix is smaller than the rank of its adapter. */
export function checkRank(
  owner: string,
  rank: number,
  matrices: ReadonlyArray<{module: string; shape: readonly number[]}>,
): void {
  for (const {module, shape} of matrices) {
    if (rank <= Math.min(...shape)) continue;
    throw new Error(
      `${owner}: rank must be at most the dimensions of each matrix; got ${rank}, and '${module}' is [${shape.join(', ')}]`,
    );
  }
}

/** Embedding and head of `loadLlama`, which give logits and their gradients in parts, and so multiply with parts of their matrix. */
const IN_PARTS: readonly string[] = ['LlamaEmbedding', 'LlamaHead'];

/** Layers of tfjs that multiply by no matrix, though they may have a weight with two axes: slopes or scales of [length, width]. */
const WITHOUT_MATRIX: readonly string[] = ['PReLU', 'LayerNormalization', 'BatchNormalization'];

/** All matrices of a model that can be adapted, each once. */
export function matricesOf(model: tfl.LayersModel): Matrix[] {
  const seen = new Set<tfl.LayerVariable>();
  return layersOf(model).flatMap(({layer, path}) => {
    const className = layer.getClassName();
    const hasNone = [...IN_PARTS, ...WITHOUT_MATRIX].includes(className);
    if (layer instanceof tfl.layers.RNNCell || hasNone) return [];
    const weights = ownWeights(layer).filter(
      (weight) => weight.shape.length === 2 && weight.dtype === 'float32',
    );
    return weights.flatMap((weight) => {
      if (seen.has(weight)) return [];
      seen.add(weight);
      const inLayer = weight.originalName
        .split('/')
        .at(-1)!
        .replace(/\.weight$/, '');
      const isNamed = weights.length > 1 || weight.originalName.endsWith('.weight');
      const module = (isNamed ? `${path}.${inLayer}` : path).replaceAll('/', '.');
      return {module, layer, weight, isEmbedding: className === 'Embedding'};
    });
  });
}

/** All layers of a model, also those in nested models and those that wrappers and others have as properties. */
export function layersOf(model: tfl.LayersModel): LayerNode[] {
  const seen = new Set<Layer>();
  const visit = ({layer, path}: LayerNode): LayerNode[] => {
    if (seen.has(layer)) return [];
    seen.add(layer);
    if (isModel(layer)) return [{layer, path}];
    const inside = Object.values(layer)
      .flat()
      .filter((value): value is Layer => value instanceof tfl.layers.Layer);
    return [
      {layer, path},
      ...inside.flatMap((each) => visit({layer: each, path: `${path}/${each.name}`})),
    ];
  };
  return allLayers(model).flatMap(visit);
}

/**
 * The matrices that are asked for, in the order of the model.
 *
 * @throws Error if a target is none, or matches none; it names those that there are.
 */
export function targetedMatrices(
  owner: string,
  model: tfl.LayersModel,
  targets: LoraTargets,
): Matrix[] {
  const outputs = new Set<Layer>(model.outputLayers);
  return targeted(owner, targets, matricesOf(model), ({module, layer, isEmbedding}) => ({
    ...{module, layer: layer.name},
    isAtEnd: isEmbedding || outputs.has(layer),
  }));
}

/**
 * Those of `all` that are asked for, by their names.
 *
 * @throws Error as {@link targetedMatrices}.
 */
export function targeted<T extends {module: string}>(
  owner: string,
  targets: LoraTargets,
  all: readonly T[],
  nameOf: (matrix: T) => TargetedName,
): T[] {
  const list = targetList(owner, targets);
  const matches = (target: LoraTarget, matrix: T): boolean => isTargeted(target, nameOf(matrix));
  const without = list.filter((target) => !all.some((matrix) => matches(target, matrix)));
  if (without.length > 0) {
    const has = all.length > 0 ? all.map(({module}) => module).join(', ') : 'none';
    throw new Error(
      `${owner}: targets has ${without.map(display).join(', ')}, which matches no matrix of the model (convolutions, ` +
        `recurrent cells, and embedding and head of a LLaMA-style model cannot be adapted; 'all-linear' leaves out what gives the ` +
        `model's output). Matrices: ${cut(has)}`,
    );
  }
  return all.filter((matrix) => list.some((target) => matches(target, matrix)));
}
