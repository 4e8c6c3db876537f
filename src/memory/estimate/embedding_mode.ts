/** How embedding and head of a LLaMA-style model train. */
import type * as tfl from '@tensorflow/tfjs-layers';
import {paperMethods, type MethodParts, type PaperMethodName} from '../../methods';
import {resolveBlocks} from '../../model/blocks';
import type {OwLoreOptions} from '../../owlore/optimizer/options';

/** `full`: by AdamW; `low-rank`: projected, as matrices of blocks are; `frozen`: not at all. */
export const embeddingModes = ['full', 'low-rank', 'frozen'] as const;
export type EmbeddingMode = (typeof embeddingModes)[number];

/** Names of the layers that have a row or a column for each token: embedding and head. */
export const tokenLayerNames: readonly string[] = ['model.embed_tokens', 'lm_head'];

export function tokenLayers(model: tfl.LayersModel): tfl.layers.Layer[] {
  return model.layers.filter(({name}) => tokenLayerNames.includes(name));
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
  const blockLayers = lowRank ? resolveBlocks(model).flatMap((block) => block.layers) : [];
  return {project: [...blockLayers, ...layers].map(({name}) => name)};
}
