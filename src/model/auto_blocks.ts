/** The `'auto'` rule: which parts of a model are its blocks. */

import type * as tfl from '@tensorflow/tfjs-layers';
import {
  leafLayers,
  matrixCount,
  weightShapes,
  type Layer,
  type LayerNode,
} from '../tfjs/layer_tree';

/** A layer that belongs to a block. */
export interface BlockMember extends LayerNode {
  /** Name of a block that may have several layers; without one the layer is a block of its own. */
  group?: string;
}

/** Layers of tfjs itself that hold several matrices and yet are a single layer rather than a block. */
const singleLayers = new Set([
  'Bidirectional',
  'ConvLSTM2D',
  'GRU',
  'LSTM',
  'RNN',
  'SeparableConv2D',
  'SimpleRNN',
  'TimeDistributed',
]);

/** Layers of tfjs whose weights can have two axes without being the matrix of a linear map. */
const notLinear = new Set(['BatchNormalization', 'Embedding', 'LayerNormalization', 'PReLU']);

/** `block0.fc1`, `h/3/attn/proj`: the text before the number, the number, a separator, the rest. */
const numberedName = /^(.*?)(\d+)[./_-](.+)$/;

/**
 * The members of the model's blocks, by the first of these rules that finds any. A nested model is taken as
 * one layer if a sibling has the same class and weight shapes; else the rules see the layers in it.
 *
 * 1. Nested models and custom layers with two or more matrices: each is a block, if the same weight shapes
 *    occur twice in its class.
 * 2. Layers with numbered names (`block0.fc1`, `h/3/attn/proj`), where two numbers after the same prefix
 *    have the same layers: every number after that prefix is a block.
 * 3. Every layer with a matrix, except embeddings and the heads (the last layers, one for each output).
 */
export function autoBlockMembers(model: tfl.LayersModel): BlockMember[] {
  const layers = leafLayers(
    model,
    (nested, siblings) => siblings.filter((other) => sameKind(nested, other)).length < 2,
  ).filter(({layer}) => layer.weights.length > 0);

  const composites = repeatedComposites(layers);
  if (composites.length > 0) return composites;
  const numbered = numberedGroups(layers);
  if (numbered.length > 0) return numbered;
  return layers.filter(({layer}) => holdsLinear(layer)).slice(0, -model.outputs.length);
}

function repeatedComposites(layers: readonly LayerNode[]): LayerNode[] {
  const composites = layers.filter(
    ({layer}) => matrixCount(layer) >= 2 && !singleLayers.has(layer.getClassName()),
  );
  const byClass = groupBy(composites, ({layer}) => layer.getClassName());
  return composites.filter(({layer}) => {
    const siblings = byClass.get(layer.getClassName())!;
    return hasRepeat(siblings.map((sibling) => weightShapes(sibling.layer)));
  });
}

function numberedGroups(layers: readonly LayerNode[]): BlockMember[] {
  const named = layers.flatMap((node) => {
    const match = numberedName.exec(node.layer.name);
    if (!match) return [];
    // The pattern has three groups, none of them optional.
    const [, prefix, index, rest] = match as unknown as [string, string, string, string];
    const start = node.path.slice(0, -node.layer.name.length) + prefix;
    return [{...node, start, group: start + index, rest}];
  });
  const byPrefix = groupBy(named, ({start}) => start);
  return [...byPrefix.values()].flatMap((members) => {
    const blocks = [...groupBy(members, ({group}) => group).values()].filter((block) =>
      block.some(({layer}) => holdsLinear(layer)),
    );
    const contents = blocks.map((block) =>
      block.map(({layer, rest}) => `${rest}: ${weightShapes(layer)}`).join('; '),
    );
    return hasRepeat(contents) ? blocks.flat() : [];
  });
}

function sameKind(a: Layer, b: Layer): boolean {
  return a.getClassName() === b.getClassName() && weightShapes(a) === weightShapes(b);
}

function holdsLinear(layer: Layer): boolean {
  return matrixCount(layer) > 0 && !notLinear.has(layer.getClassName());
}

function hasRepeat(values: readonly string[]): boolean {
  return new Set(values).size < values.length;
}

function groupBy<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group) group.push(item);
    else groups.set(key(item), [item]);
  }
  return groups;
}
