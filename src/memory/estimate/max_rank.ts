/** The largest rank at which a training runs. */
import {paperMethods, type MethodParts} from '../../methods';
import {owloreDefaults} from '../../owlore/optimizer/options';
import {planProjection} from '../../owlore/optimizer/state/projector';
import {loraDefaults} from '../../lora/lora_options';
import {targeted} from '../../lora/matrices';
import type {EstimateOptions} from './options';
import {adaptableMatrices, sizesOfModel, type Shape} from './sizes';

/**
 * LoRA's rank is at most the sizes of the matrices that it adapts, and that of a low-rank embedding makes its state smaller. Any other
 * rank that is not below the hidden size projects nothing.
 *
 * @param config The object in the `config.json` of a LLaMA-style model.
 */
export function maxRank(
  config: object,
  {method = 'owlore', targets = loraDefaults.targets, embedding}: EstimateOptions,
): number {
  const sizes = sizesOfModel('maxRank', config)!;
  const {lora = false}: MethodParts = paperMethods[method];
  if (lora) {
    const adapted = targeted('maxRank', targets, adaptableMatrices(sizes), (matrix) => matrix);
    return Math.min(...adapted.flatMap(({shape}) => shape));
  }
  const below = sizes.llama.hiddenSize - 1;
  if (embedding !== 'low-rank') return below;
  const isLowRank = (rank: number, shape: Shape): boolean =>
    planProjection(shape, rank, owloreDefaults.side) !== null;
  let rank = below;
  while (rank > 1 && !sizes.vocabulary.every((shape) => isLowRank(rank, shape))) rank--;
  return rank;
}
