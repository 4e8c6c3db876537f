import type * as tfl from '@tensorflow/tfjs-layers';
import {checkModel} from '../../common/options';
import {BLOCK_OPTIONS, LlamaBlock} from '../block';
import {resolveConfig, type ResolvedConfig} from '../config';
import {EMBEDDING_OPTIONS, LlamaEmbedding} from '../embedding';
import {LlamaHead} from '../head';
import {pick} from '../pick';

/**
 * The configuration with which `createLlama` makes such a model; the seed is not known.
 *
 * @throws if it is not a model of `createLlama`.
 */
export function configOfModel(owner: string, model: tfl.LayersModel): ResolvedConfig {
  checkModel(owner, model);
  const {layers} = model;
  const embedding = layers.find((layer) => layer instanceof LlamaEmbedding);
  const blocks = layers.filter((layer) => layer instanceof LlamaBlock);
  const [block] = blocks;
  const hasHead = layers.some((layer) => layer instanceof LlamaHead);
  // where embedding and head are tied, the model applies the embedding twice
  if (!embedding || !block || !(hasHead || embedding.inboundNodes.length > 1)) {
    throw new Error(`${owner}: the model must be one of createLlama or loadLlama, and all of it`);
  }
  return resolveConfig({
    ...pick(embedding.args, EMBEDDING_OPTIONS),
    ...pick(block.args, BLOCK_OPTIONS),
    layerTypes: blocks.map(({window}) =>
      window === null ? 'full_attention' : 'sliding_attention',
    ),
    numHiddenLayers: blocks.length,
    tieWordEmbeddings: !hasHead,
    initializerRange: embedding.args.initializerRange,
  });
}
