import type * as tfl from '@tensorflow/tfjs-layers';
import {LlamaBlock} from '../block';
import {resolveConfig, type LlamaConfig} from '../config';
import {LlamaEmbedding} from '../embedding';
import {LlamaHead} from '../head';

/**
 * What `createLlama` makes such a model from; the seed is not known.
 *
 * @throws if it is not a model of `createLlama`.
 */
export function configOfModel(owner: string, model: tfl.LayersModel): Required<LlamaConfig> {
  const find = (type: abstract new (...args: never[]) => tfl.layers.Layer) =>
    model.layers.filter((layer) => layer instanceof type);
  const [embedding] = find(LlamaEmbedding);
  const blocks = find(LlamaBlock);
  if (!embedding || blocks.length === 0) {
    throw new Error(`${owner}: the model must be one of createLlama or loadLlama`);
  }
  // tfjs types all values of a layer's configuration as any JSON; these are the layers' own arguments
  const args = {...blocks[0]!.getConfig(), ...embedding.getConfig()} as unknown as LlamaConfig;
  const {vocabSize, hiddenSize, intermediateSize, numAttentionHeads} = args;
  const {numKeyValueHeads, headDim, rmsNormEps, ropeTheta, ropeScaling} = args;
  const {attentionBias, slidingWindow, maxPositionEmbeddings, headInLoss, initializerRange} = args;
  return resolveConfig({
    vocabSize,
    hiddenSize,
    intermediateSize,
    numHiddenLayers: blocks.length,
    numAttentionHeads,
    numKeyValueHeads,
    headDim,
    rmsNormEps,
    ropeTheta,
    ropeScaling,
    attentionBias,
    slidingWindow,
    maxPositionEmbeddings,
    tieWordEmbeddings: find(LlamaHead).length === 0,
    headInLoss,
    initializerRange,
  });
}
