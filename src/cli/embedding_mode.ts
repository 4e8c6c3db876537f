/** How `tfjs-owlore finetune` trains a model's embedding and head. */
import type * as tfl from '@tensorflow/tfjs-layers';
import type {EmbeddingMode} from '../estimate/options';
import {sizesOfModel} from '../estimate/sizes';
import type {ResolvedConfig} from '../llama/config';
import {paperMethods, type MethodParts, type PaperMethodName} from '../methods';
import {resolveBlocks} from '../model/blocks';
import type {OwLoreOptions} from '../optim/owlore_options';
import {planProjection} from '../optim/projector';
import {UsageError} from './usage_error';

/** Names of the layers that have a row or a column for each token: embedding and head. */
const LAYERS: readonly string[] = ['model.embed_tokens', 'lm_head'];

function tokenLayers(model: tfl.LayersModel): tfl.layers.Layer[] {
  return model.layers.filter(({name}) => LAYERS.includes(name));
}

/** @throws UsageError if embedding and head cannot train in this mode: the rank is too large for a low one. */
export function checkEmbedding(mode: EmbeddingMode, config: ResolvedConfig, rank: number): void {
  if (mode !== 'low-rank') return;
  for (const [i, shape] of sizesOfModel('finetune', config)!.vocabulary.entries()) {
    if (planProjection(shape, rank, 'paper')) continue;
    throw new UsageError(
      `--embedding low-rank is not possible at --rank ${rank}: the weight of ${LAYERS[i]!} is [${shape.join(', ')}], and a rank ` +
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

/** Makes embedding and head train in a mode: freezes them, or gives the options of the optimizer for that. */
export function trainEmbedding(
  mode: EmbeddingMode,
  model: tfl.LayersModel,
  method: PaperMethodName,
): Pick<OwLoreOptions, 'project'> {
  const layers = tokenLayers(model);
  if (mode === 'frozen') for (const layer of layers) layer.trainable = false;
  if (mode !== 'low-rank') return {};
  const {lowRank}: MethodParts = paperMethods[method];
  // By names of layers: tfjs numbers those of weights in each process, and a checkpoint is compared with them.
  const ofBlocks = lowRank ? resolveBlocks(model).flatMap((block) => block.layers) : [];
  return {project: [...ofBlocks, ...layers].map(({name}) => name)};
}
