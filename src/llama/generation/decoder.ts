import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {LlamaBlock} from '../block';
import {LlamaEmbedding} from '../embedding';
import {LlamaHead} from '../head';
import {RMSNorm} from '../rms_norm';
import {KeyValueCache} from './key_value_cache';

/** The layers of a model of `createLlama`. */
interface LlamaLayers {
  embedding: LlamaEmbedding;
  blocks: LlamaBlock[];
  norm: RMSNorm;
  /** The embedding where the weights are tied. */
  head: LlamaHead | LlamaEmbedding;
}

/**
 * A model of `createLlama` that reads one sequence piece by piece, each token once, because every block keeps
 * the keys and values of the tokens so far.
 */
export class Decoder {
  readonly vocabSize: number;
  readonly maxPositionEmbeddings: number;
  private readonly layers: LlamaLayers;
  private readonly caches: readonly KeyValueCache[];

  /** @throws if the model has other layers. */
  constructor(model: tfl.LayersModel) {
    this.layers = layersOf(model);
    const {embedding, blocks} = this.layers;
    this.vocabSize = embedding.args.vocabSize;
    this.maxPositionEmbeddings = embedding.args.maxPositionEmbeddings;
    this.caches = blocks.map((block) => new KeyValueCache(block.window));
  }

  /**
   * Reads the next tokens.
   *
   * @param ids The next tokens, at least one.
   * @returns the logits `[vocab]` of the token after them, which the caller disposes of.
   */
  read(ids: readonly number[]): tf.Tensor {
    const {embedding, blocks, norm, head} = this.layers;
    return tf.tidy(() => {
      let hidden = apply(embedding, tf.tensor2d([[...ids]], undefined, 'int32'));
      blocks.forEach((block, i) => {
        const before = hidden;
        // what a block makes is freed before the next one runs
        hidden = tf.tidy(() => apply(block, before, {cache: this.caches[i]!}));
        before.dispose();
      });
      const [, seq, width] = hidden.shape as [number, number, number];
      const last = tf.slice(hidden, [0, seq - 1, 0], [1, 1, width]);
      return tf.reshape(apply(head, apply(norm, last)), [this.vocabSize]);
    });
  }

  /** Frees the keys and values; the model stays. */
  dispose(): void {
    for (const cache of this.caches) cache.dispose();
  }
}

function apply(layer: tfl.layers.Layer, x: tf.Tensor, kwargs?: {cache: KeyValueCache}): tf.Tensor {
  return layer.apply(x, kwargs) as tf.Tensor;
}

function layersOf(model: tfl.LayersModel): LlamaLayers {
  const known = [LlamaEmbedding, LlamaBlock, RMSNorm, LlamaHead];
  for (const layer of model.layers) {
    const isInput = layer.getClassName() === 'InputLayer';
    if (!isInput && !known.some((Kind) => layer instanceof Kind)) {
      throw new Error(
        'generate: the model must be one of createLlama; ' +
          `its layer '${layer.name}' is a ${layer.getClassName()}`,
      );
    }
  }
  const of = <T>(Kind: new (...args: never[]) => T): T[] =>
    model.layers.filter((layer): layer is tfl.layers.Layer & T => layer instanceof Kind);
  const [embedding] = of(LlamaEmbedding);
  const [norm] = of(RMSNorm);
  const [head = embedding] = of(LlamaHead);
  const blocks = of(LlamaBlock);
  if (!embedding || !norm || !head) {
    throw new Error('generate: the model must be one of createLlama; it has not all of its layers');
  }
  return {embedding, blocks, norm, head};
}
