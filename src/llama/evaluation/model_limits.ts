import type * as tfl from '@tensorflow/tfjs-layers';
import {checkModel} from '../../common/options';
import {LlamaEmbedding} from '../embedding';
import type {ModelLimits} from '../generation/generate_options';

/** How many tokens a model of `createLlama` knows, and how many it reads at once. */
export function modelLimits(owner: string, model: tfl.LayersModel): ModelLimits {
  checkModel(owner, model);
  const embedding = model.layers.find((layer) => layer instanceof LlamaEmbedding);
  if (!embedding) throw new Error(`${owner}: the model must be one of createLlama`);
  const {vocabSize, maxPositionEmbeddings} = embedding.args;
  return {vocabSize, maxPositionEmbeddings};
}

/** Logits that are in memory at a time, unless one row has more. */
const MAX_LOGITS = 2 ** 26;

/** How many rows of `length` tokens go through a model together, at least one. */
export function rowsAtOnce(length: number, vocabSize: number): number {
  return Math.max(1, Math.floor(MAX_LOGITS / (length * vocabSize)));
}
