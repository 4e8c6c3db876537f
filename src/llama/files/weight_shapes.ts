import {architectures} from '../architectures';
import {
  embedding,
  finalNorm,
  head,
  isTransposed,
  sizesOf,
  storedShape,
  type Weight,
} from '../architectures/weights';
import type {ResolvedConfig} from '../config';

/** Hugging Face's names of the embedding and the head. */
export const EMBEDDING = embedding.name;
export const HEAD = head.name;

/** A weight of a model, as Hugging Face names and stores it. */
export interface WeightShape {
  name: string;
  shape: number[];
  /** The sizes in words of `config.json`, for messages. */
  meaning: string;
  /** Whether the model has it transposed. */
  transposed: boolean;
}

/**
 * All weights of a model, in the order in which PyTorch lists them. They are yielded one by one, because a
 * hostile configuration may ask for more of them than fit in memory.
 */
export function* weightShapes(config: ResolvedConfig): Generator<WeightShape> {
  const sizes = sizesOf(config);
  const describe = (weight: Weight, prefix = ''): WeightShape => ({
    name: prefix + weight.name,
    shape: storedShape(weight, sizes),
    meaning: weight.shape.join(', '),
    transposed: isTransposed(weight),
  });
  yield describe(embedding);
  const blockWeights = Object.values(architectures[config.architecture].weights);
  for (let i = 0; i < config.numHiddenLayers; i++) {
    for (const weight of blockWeights) yield describe(weight, `model.layers.${i}.`);
  }
  yield describe(finalNorm);
  if (!config.tieWordEmbeddings) yield describe(head);
}
