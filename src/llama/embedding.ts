import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {matrixOf} from '../model/packed_matrix';
import type {ResolvedConfig} from './config';
import {deferHead, isDeferred} from './deferred_head';
import {checkIds} from './ids';
import {onlyInput, onlyShape, weightInitializer, type LayerArgs, type WeightInit} from './layer';
import {headLogits} from './head_pieces';
import {lookUp} from './look_up';
import {pick} from './pick';

/** What the embedding takes from the model's configuration; `headInLoss` is for its use as the head. */
export const EMBEDDING_OPTIONS = [
  'vocabSize',
  'hiddenSize',
  'maxPositionEmbeddings',
  'headInLoss',
] as const satisfies ReadonlyArray<keyof ResolvedConfig>;

type EmbeddingOptions = Pick<ResolvedConfig, (typeof EMBEDDING_OPTIONS)[number]>;

export interface LlamaEmbeddingArgs extends LayerArgs, WeightInit, EmbeddingOptions {
  /** Factor of the vectors that are looked up. */
  scale: number;
}

/**
 * The token embedding; weight `weight` `[vocab, hidden]`.
 *
 * Token ids `[batch, seq]` become hidden states `[batch, seq, hidden]`. In a model with tied
 * weights it is applied a second time, as the head: hidden states `[batch, seq, hidden]` become
 * logits `[batch, seq, vocab]`.
 */
export class LlamaEmbedding extends tfl.layers.Layer {
  readonly args: LlamaEmbeddingArgs;
  private weight!: tfl.LayerVariable;

  constructor(args: LlamaEmbeddingArgs) {
    super(args);
    this.args = args;
  }

  static get className(): string {
    return 'LlamaEmbedding';
  }

  override build(inputShape: tfl.Shape | tfl.Shape[]): void {
    const {vocabSize, hiddenSize} = this.args;
    const initializer = weightInitializer(this.args, {name: 'weight', kind: 'embedding'});
    this.weight = this.addWeight('weight', [vocabSize, hiddenSize], 'float32', initializer);
    this.args.onKernel?.(`${this.name}.weight`, this.weight);
    super.build(inputShape);
  }

  override computeOutputShape(inputShape: tfl.Shape | tfl.Shape[]): tfl.Shape {
    const [batch, seq, ...rest] = onlyShape(inputShape) as [number, number];
    // null for the vocabulary: see LlamaHead
    return [batch, seq, rest.length === 0 ? this.args.hiddenSize : null];
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Record<string, unknown>): tf.Tensor {
    return tf.tidy(() => {
      this.invokeCallHook(inputs, kwargs);
      const x = onlyInput(inputs);
      const {maxPositionEmbeddings, hiddenSize, headInLoss, scale} = this.args;
      if (x.rank === 3 && x.shape[2] === hiddenSize) {
        const head = {kernel: matrixOf(this.weight), transposed: true};
        return isDeferred(headInLoss, kwargs) ? deferHead(x, head) : headLogits(x, head);
      }
      if (x.rank !== 2 || x.size === 0) {
        throw new Error(
          `${this.name}: token ids must be [batch, seq], at least one sequence of at least one token; got [${x.shape.join(', ')}]`,
        );
      }
      if (x.shape[1]! > maxPositionEmbeddings) {
        throw new Error(
          `${this.name}: sequences must have at most maxPositionEmbeddings = ` +
            `${maxPositionEmbeddings} tokens; got ${x.shape[1]}`,
        );
      }
      const {vocabSize: vocab} = this.args;
      checkIds(x, {owner: `${this.name}: token ids`, vocab, allowsNegative: false});
      const hidden = lookUp(matrixOf(this.weight), tf.cast(x, 'int32'));
      return scale === 1 ? hidden : tf.mul(hidden, scale);
    });
  }

  /**
   * Frees the weight in one call: tfjs would not free the weight of a layer that a model applies twice.
   */
  override dispose(): ReturnType<tfl.layers.Layer['dispose']> {
    let result = super.dispose();
    while (result.refCountAfterDispose > 0) result = super.dispose();
    return result;
  }

  override getConfig(): tf.serialization.ConfigDict {
    const {initializerRange, seed, scale} = this.args;
    const options = pick(this.args, EMBEDDING_OPTIONS);
    return {...super.getConfig(), ...options, initializerRange, seed, scale};
  }
}
tf.serialization.registerClass(LlamaEmbedding);
