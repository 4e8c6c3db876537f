/** The matrices of a model that LoRA can adapt, under the names that peft's modules have, and those that are asked for. */
import * as tfl from '@tensorflow/tfjs-layers';
import {allLayers, isModel, type Layer, type LayerNode} from '../model/layer_tree';
import {cut, display} from '../options';
import {ownWeights} from '../tfjs/models';

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

/** Names of several matrices at once. */
const presets = {
  attention: /\bself_attn\.(q|k|v)_proj$/,
  mlp: /\bmlp\.(gate|up|down)_proj$/,
  'all-linear': null,
} as const;

/**
 * Which matrices are adapted: a name or the end of one after a dot, as peft's `target_modules` (`'q_proj'`), a pattern of
 * names, or a preset. `'attention'` (queries, keys, values) and `'mlp'` (gate, up, down) are for models of `loadLlama`;
 * `'all-linear'` is every matrix but embeddings and those of the layers that give the model's output.
 */
export type LoraTarget = string | RegExp;
/** One or several {@link LoraTarget}s. */
export type LoraTargets = LoraTarget | readonly LoraTarget[];

/** Embedding and head of `loadLlama`, which give logits and their gradients in parts, and so multiply with parts of their matrix. */
const IN_PARTS: readonly string[] = ['LlamaEmbedding', 'LlamaHead'];

/** All matrices of a model that can be adapted, each once. */
export function matricesOf(model: tfl.LayersModel): Matrix[] {
  const seen = new Set<tfl.LayerVariable>();
  return layersOf(model).flatMap(({layer, path}) => {
    if (layer instanceof tfl.layers.RNNCell || IN_PARTS.includes(layer.getClassName())) return [];
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
      return {module, layer, weight, isEmbedding: layer.getClassName() === 'Embedding'};
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
  const list: readonly unknown[] = Array.isArray(targets) ? targets : [targets];
  const isTarget = (target: unknown): target is LoraTarget =>
    target instanceof RegExp || (typeof target === 'string' && target !== '');
  if (list.length === 0 || !list.every(isTarget)) {
    throw new Error(
      `${owner}: targets must be names of matrices, regular expressions of them, or ${presetNames()}; got ${display(targets)}`,
    );
  }
  const all = matricesOf(model);
  const outputs = new Set<Layer>(model.outputLayers);
  const matches = (target: LoraTarget, {module, layer, isEmbedding}: Matrix): boolean => {
    if (target === 'all-linear') return !isEmbedding && !outputs.has(layer);
    const pattern =
      typeof target === 'string' && Object.hasOwn(presets, target)
        ? presets[target as keyof typeof presets]!
        : target;
    if (pattern instanceof RegExp)
      return new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, '')).test(module);
    return module === pattern || module.endsWith(`.${pattern}`) || layer.name === pattern;
  };
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

function presetNames(): string {
  return Object.keys(presets)
    .map((name) => `'${name}'`)
    .join(', ');
}
