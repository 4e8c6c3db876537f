/** A model's blocks: the units that are trained or frozen together. */

import type * as tfl from '@tensorflow/tfjs-layers';
import type {LayerVariable} from '@tensorflow/tfjs-layers/dist/variables';
import {checkModel, display} from '../common/options';
import {autoBlockMembers, type BlockMember} from './auto_blocks';
import {allLayers, isModel, leafLayers} from '../tfjs/layer_tree';
import {matchOf} from './variable_selector';

/** A block as plain JSON. */
export interface Block {
  name: string;
  /** Names of all the block's weights (the names of their `tf.Variable`s). */
  weights: string[];
}

/**
 * Which parts of a model are blocks. Whatever is in no block is always trained (LISA's convention).
 *
 * - `'auto'`: what repeats in the model; see `findBlocks`.
 * - names of layers, at any depth: each is a block. Where a name occurs in several nested models, put
 *   the model's name before it: `encoder/dense`.
 * - a regular expression on the names of layers at any depth: each layer that matches is a block and is not
 *   searched further. Layers that agree in the first capture group are one block of that name:
 *   `/^(h\d+)\./`.
 * - a function from a layer to the name of its block, or null for none; layers of one name are one
 *   block. The inside of a nested model is asked for only if the model itself is in no block.
 */
export type BlockSelector =
  'auto' | readonly string[] | RegExp | ((layer: tfl.layers.Layer) => string | null | undefined);

/** A block with its layers and weights. */
export interface ResolvedBlock {
  name: string;
  layers: tfl.layers.Layer[];
  /** All weights of the layers, each once, including those that the user froze. */
  weights: LayerVariable[];
}

const owner = 'findBlocks';

/**
 * Lists a model's blocks in the order of its layers, as plain JSON.
 *
 * With `'auto'` (the default) the blocks are the first of these that the model has: (1) nested models or custom
 * layers with two or more matrices whose class and weight shapes occur at least twice, as in a transformer;
 * (2) layers in numbered groups, `block0.fc1`, `block0.fc2`, `block1.fc1`, …; (3) every dense, convolution and
 * recurrent layer except the head, which is the last one (one head for each output). Embeddings are in no block.
 *
 * ```ts
 * findBlocks(model, /^(h\d+)\./).map(({name}) => name); // ['h0', 'h1', …]
 * ```
 *
 * @throws if no block is found, a name is unknown or ambiguous, or two blocks share a weight.
 */
export function findBlocks(model: tfl.LayersModel, selector: BlockSelector = 'auto'): Block[] {
  return resolveBlocks(model, selector).map(({name, weights}) => ({
    name,
    weights: weights.map((weight) => weight.name),
  }));
}

/**
 * `findBlocks` with the layers and variables themselves.
 *
 * @param mayBeNone Whether there may be no block that `'auto'` finds.
 */
export function resolveBlocks(
  model: tfl.LayersModel,
  selector: BlockSelector = 'auto',
  {mayBeNone = false} = {},
): ResolvedBlock[] {
  checkModel(owner, model);
  const blocks = gather(blockMembers(model, selector)).filter(({weights}) => weights.length > 0);
  if (blocks.length === 0 && !(mayBeNone && selector === 'auto')) {
    throw new Error(
      `${owner}: found no blocks by ${display(selector)}; pass blocks: an ` +
        `array of layer names, a RegExp or a function. ${knownNames(model)}`,
    );
  }
  checkNothingShared(blocks);
  return blocks;
}

function blockMembers(model: tfl.LayersModel, selector: BlockSelector): BlockMember[] {
  if (selector === 'auto') return autoBlockMembers(model);
  if (Array.isArray(selector)) return selector.map((name: string) => memberByName(model, name));
  if (selector instanceof RegExp) return membersByPattern(model, selector);
  if (typeof selector === 'function') return membersByFunction(model, selector);
  throw new Error(
    `${owner}: blocks must be 'auto', an array of layer names, a RegExp or a function; ` +
      `got ${display(selector)}`,
  );
}

function memberByName(model: tfl.LayersModel, name: string): BlockMember {
  const found = allLayers(model).filter(({layer, path}) => layer.name === name || path === name);
  const [node] = found;
  if (node === undefined) {
    throw new Error(`${owner}: the model has no layer ${display(name)}. ${knownNames(model)}`);
  }
  if (found.length > 1) {
    const paths = found.map(({path}) => display(path)).join(', ');
    throw new Error(`${owner}: several layers are named ${display(name)}; say which: ${paths}`);
  }
  if (node.layer.weights.length === 0) {
    throw new Error(`${owner}: layer ${display(name)} has no weights and cannot be a block`);
  }
  return {...node, group: name};
}

function membersByPattern(model: tfl.LayersModel, pattern: RegExp): BlockMember[] {
  return leafLayers(model, (nested) => !matchOf(pattern, nested.name)).flatMap((node) => {
    const match = matchOf(pattern, node.layer.name);
    return match ? [{...node, group: match[1]}] : [];
  });
}

function membersByFunction(
  model: tfl.LayersModel,
  blockOf: (layer: tfl.layers.Layer) => string | null | undefined,
): BlockMember[] {
  return leafLayers(model, (nested) => blockOf(nested) == null).flatMap((node) => {
    const group = blockOf(node.layer);
    return group == null ? [] : [{...node, group}];
  });
}

/** Puts the members of a group together and names the layers that are blocks of their own. */
function gather(members: readonly BlockMember[]): ResolvedBlock[] {
  const blocks = new Map<string, ResolvedBlock>();
  for (const {layer, path, group} of members) {
    const isNameTaken = members.some(
      (other) => other.layer !== layer && other.layer.name === layer.name,
    );
    const name = group ?? (isNameTaken ? path : layer.name);
    const {layers, weights} = blocks.get(name) ?? {layers: [], weights: []};
    blocks.set(name, {
      name,
      layers: [...layers, layer],
      weights: [...new Set([...weights, ...layer.weights])],
    });
  }
  return [...blocks.values()];
}

function checkNothingShared(blocks: readonly ResolvedBlock[]): void {
  const home = new Map<LayerVariable, string>();
  for (const {name, weights} of blocks) {
    for (const weight of weights) {
      const other = home.get(weight);
      if (other !== undefined) {
        throw new Error(
          `${owner}: blocks '${other}' and '${name}' share the weight '${weight.name}'; make them one ` +
            `block with a function that gives both layers the same name`,
        );
      }
      home.set(weight, name);
    }
  }
}

function knownNames(model: tfl.LayersModel): string {
  const names = allLayers(model).flatMap(({layer, path}) =>
    layer.weights.length > 0 ? [isModel(layer) ? `${path} (a model)` : path] : [],
  );
  return `Layers with weights: ${names.join(', ') || 'none'}`;
}
