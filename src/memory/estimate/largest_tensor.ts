import {readConfigJson} from '../../llama/files/config_json';
import type {JsonObject} from '../../files/json';
import {trainsRest} from '../../methods';
import type {EstimateOptions} from './options';

/** Bytes of a number. */
const FLOAT = 4;

/** Bytes of the largest tensor of a step, because webgpu limits the size of a buffer: a weight, or a value in the MLP of a block. */
export function largestTensor(
  config: JsonObject,
  {
    method = 'owlore',
    embedding = 'full',
    frozenDtype = 'F32',
    batchSize,
    maxLength,
  }: EstimateOptions & {batchSize: number; maxLength: number},
): number {
  const {vocabSize, hiddenSize, intermediateSize} = readConfigJson('largestTensor', config);
  const isFrozen = embedding === 'frozen' || !trainsRest(method);
  const isPacked = frozenDtype === 'BF16' && isFrozen;
  return Math.max(
    (FLOAT * vocabSize * hiddenSize) / (isPacked ? 2 : 1),
    FLOAT * hiddenSize * intermediateSize,
    FLOAT * batchSize * maxLength * intermediateSize,
  );
}
