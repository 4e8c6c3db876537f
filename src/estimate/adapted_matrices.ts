/** Which matrices of each block have adapters, as `lora/matrices` finds them in a model. */
import {display} from '../options';
import {isTargeted, targetList, type LoraTarget, type LoraTargets} from '../lora/targets';
import type {ModelSizes, Shape} from './sizes';

const owner = 'estimateMemory';

/**
 * Whether the weight at a place in each block has an adapter.
 *
 * @throws Error if targets match nothing, or the matrices of some blocks alone.
 */
export function adaptedMatrices(
  {blocks, names}: ModelSizes,
  targets: LoraTargets,
): (place: number, shape: Shape) => boolean {
  const list = targetList(owner, targets);
  if (!names) {
    if (list.length === 1 && list[0] === 'all-linear') return (_, shape) => shape.length === 2;
    throw new Error(
      `${owner}: targets ${display(targets)} is for models of loadLlama and createLlama; leave it out, and take the estimate as the most that it can be`,
    );
  }
  const [block] = blocks as [Shape[]];
  const isMatrix = block.map((shape) => shape.length === 2);
  const inBlock = (i: number, target: LoraTarget): boolean[] =>
    names.map(
      (name, place) =>
        isMatrix[place]! &&
        isTargeted(target, {
          ...{module: `model.layers.${i}.${name}`, layer: `model.layers.${i}`, isAtEnd: false},
        }),
    );
  for (const target of list) {
    const counts = blocks.map((_, i) => inBlock(i, target).filter(Boolean).length);
    if (counts.every((count) => count === 0)) {
      const modules = names.filter((_, place) => isMatrix[place]);
      throw new Error(
        `${owner}: targets has ${display(target)}, which matches no matrix of a block: ${modules.join(', ')}`,
      );
    }
    if (counts.some((count) => count !== counts[0])) {
      throw new Error(
        `${owner}: targets has ${display(target)}, which adapts matrices of some blocks alone, and is not estimated; name them without ` +
          'the number of a block, and take the estimate as the most that it can be',
      );
    }
  }
  const adapted = names.map((_, place) => list.some((target) => inBlock(0, target)[place]));
  return (place) => adapted[place]!;
}
