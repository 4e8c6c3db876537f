/** The layers of a model as a tree: a nested model is a layer that has layers. */

import type * as tfl from '@tensorflow/tfjs-layers';

export type Layer = tfl.layers.Layer;

/** A layer and its place in the tree. */
export interface LayerNode {
  layer: Layer;
  /** The names of the nested models around the layer, then its own: `outer/inner/layer`. */
  path: string;
}

/** Whether a layer is a nested model. Decided by shape, so that models of another tfjs copy count. */
export function isModel(layer: Layer): layer is tfl.LayersModel {
  return Array.isArray((layer as Partial<tfl.LayersModel>).layers);
}

/**
 * The model's layers, each once, in order. A nested model for which `entered` holds is replaced by the
 * layers in it.
 */
export function leafLayers(
  model: tfl.LayersModel,
  entered: (nested: tfl.LayersModel, siblings: readonly Layer[]) => boolean,
): LayerNode[] {
  const seen = new Set<Layer>();
  const visit = (parent: tfl.LayersModel, prefix: string): LayerNode[] =>
    parent.layers.flatMap((layer) => {
      if (seen.has(layer)) return [];
      seen.add(layer);
      const path = prefix + layer.name;
      return isModel(layer) && entered(layer, parent.layers)
        ? visit(layer, `${path}/`)
        : [{layer, path}];
    });
  return visit(model, '');
}

/** Every layer at any depth, each once, nested models before the layers in them. */
export function allLayers(model: tfl.LayersModel, prefix = ''): LayerNode[] {
  const nodes = model.layers.flatMap((layer) => {
    const path = prefix + layer.name;
    const inside = isModel(layer) ? allLayers(layer, `${path}/`) : [];
    return [{layer, path}, ...inside];
  });
  return [...new Map(nodes.reverse().map((node) => [node.layer, node])).values()].reverse();
}

/** The number of weights with two or more axes, which linear, convolution and recurrent layers have. */
export function matrixCount(layer: Layer): number {
  return layer.weights.filter((weight) => weight.shape.length >= 2).length;
}

/** The shapes of a layer's weights; sorted, because tfjs lists frozen weights last. */
export function weightShapes(layer: Layer): string {
  return layer.weights
    .map((weight) => weight.shape.join('×'))
    .sort()
    .join(' ');
}
