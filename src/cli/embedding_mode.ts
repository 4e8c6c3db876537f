/** What `tfjs-owlore finetune` says and sets of a model's embedding and head. */
import type * as tfl from '@tensorflow/tfjs-layers';
import {tokenLayerNames, tokenLayers, type EmbeddingMode} from '../memory/estimate/embedding_mode';
import {sizesOfModel} from '../memory/estimate/sizes';
import type {ResolvedConfig} from '../llama/config';
import type {OwLoreOptions} from '../owlore/optimizer/options';
import {planProjection} from '../owlore/optimizer/state/projector';
import {UsageError} from './usage_error';

/** @throws UsageError if embedding and head cannot train in this mode: the rank is too large for a low one. */
export function checkEmbedding(mode: EmbeddingMode, config: ResolvedConfig, rank: number): void {
  if (mode !== 'low-rank') return;
  for (const [i, shape] of sizesOfModel('finetune', config)!.vocabulary.entries()) {
    if (planProjection(shape, rank, 'paper')) continue;
    throw new UsageError(
      `--embedding low-rank is not possible at --rank ${rank}: the weight of ${tokenLayerNames[i]!} is [${shape.join(', ')}], and a rank ` +
        'below both sizes that makes the state of the optimizer smaller is needed',
    );
  }
}

/** The learning rate of embedding and head, as a multiple of that of the rest. */
export function rateGroups(
  {embeddingRate: factor}: {embeddingRate: number},
  model: tfl.LayersModel,
): Pick<OwLoreOptions, 'learningRates'> {
  if (factor === 1) return {};
  return {learningRates: [{variables: tokenLayers(model).map(({name}) => name), factor}]};
}
