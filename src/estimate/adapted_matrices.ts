/** Which matrices of each block have adapters, as `lora/matrices` finds them in a model. */
import {display} from '../options';
import {checkRank} from '../lora/matrices';
import {isTargeted, targetList, type LoraTarget, type LoraTargets} from '../lora/targets';
import type {ResolvedEstimateOptions} from './options';
import type {ModelSizes, Shape} from './sizes';

const owner = 'estimateMemory';

/** Whether the weight at each place in a block has an adapter. */
function adaptedPlaces({blocks, names}: ModelSizes, targets: LoraTargets): boolean[] {
  const list = targetList(owner, targets);
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
  return names.map((_, place) => list.some((target) => inBlock(0, target)[place]));
}

/**
 * Whether the weight at each place in a block has an adapter.
 *
 * @throws Error if targets match nothing, or the matrices of some blocks alone, or if a matrix is smaller than the rank.
 */
export function adaptedMatrices(
  sizes: ModelSizes,
  {targets, rank}: Pick<ResolvedEstimateOptions, 'targets' | 'rank'>,
): readonly boolean[] {
  const places = adaptedPlaces(sizes, targets);
  checkRank(owner, rank, matricesAt(sizes, places));
  return places;
}

/** The largest rank that all adapters can have. */
export function mostAdapterRank(sizes: ModelSizes, targets: LoraTargets): number {
  const matrices = matricesAt(sizes, adaptedPlaces(sizes, targets));
  return Math.min(...matrices.flatMap(({shape}) => shape));
}

function matricesAt(
  {blocks, names}: ModelSizes,
  places: readonly boolean[],
): Array<{module: string; shape: Shape}> {
  return names.flatMap((name, place) =>
    places[place] ? [{module: `model.layers.0.${name}`, shape: blocks[0]![place]!}] : [],
  );
}
