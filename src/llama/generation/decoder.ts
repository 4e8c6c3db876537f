import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {OwLoreDecodeBlocks} from '../../kernels/llama/kernel_names';
import {hasKernel} from '../../kernels/run_kernel';
import {checkModel} from '../../common/options';
import {LlamaBlock} from '../block';
import {LlamaEmbedding} from '../embedding';
import {LlamaHead} from '../head';
import {RMSNorm} from '../rms_norm';
import {RotaryTables} from '../rotary';
import {decodedBlocks} from './decoded_blocks';
import {KeyValueCache, type DecodeState} from './key_value_cache';

/** The layers of a model of `createLlama`. */
interface LlamaLayers {
  embedding: LlamaEmbedding;
  blocks: LlamaBlock[];
  norm: RMSNorm;
  /** The embedding where the weights are tied. */
  head: LlamaHead | LlamaEmbedding;
}

/**
 * A model of `createLlama` that reads sequences piece by piece, each token once, because every block keeps
 * the keys and values of the tokens so far. It begins with one empty sequence; others join it as further rows.
 */
export class Decoder {
  readonly vocabSize: number;
  readonly maxPositionEmbeddings: number;
  private readonly layers: LlamaLayers;
  private readonly caches: readonly KeyValueCache[];

  /** @throws if the model has other layers. */
  constructor(readonly model: tfl.LayersModel) {
    this.layers = layersOf(model);
    const {embedding, blocks} = this.layers;
    this.vocabSize = embedding.args.vocabSize;
    this.maxPositionEmbeddings = embedding.args.maxPositionEmbeddings;
    this.caches = blocks.map((block) => new KeyValueCache(block.window));
  }

  /**
   * Reads the next tokens of the only sequence.
   *
   * @param ids The next tokens, at least one.
   * @returns the logits `[vocab]` of the token after them, which the caller disposes of.
   */
  read(ids: readonly number[]): tf.Tensor {
    return tf.tidy(() => tf.reshape(this.logitsAfter([ids]), [this.vocabSize]));
  }

  /**
   * Reads the next token of each sequence.
   *
   * @param ids A token for each.
   * @returns the logits `[rows, vocab]` of the tokens after them, which the caller disposes of.
   */
  readEach(ids: readonly number[]): tf.Tensor {
    return tf.tidy(() => {
      const logits = this.logitsAfter(ids.map((id) => [id]));
      return tf.reshape(logits, [ids.length, this.vocabSize]);
    });
  }

  /** Reads the next tokens of the only sequence, where it does not matter what comes after them. */
  skip(ids: readonly number[]): void {
    tf.dispose(this.hiddenAfter([ids]));
  }

  /** Takes the sequences of another decoder of the same model, after its own; the other one is empty then. */
  join(other: Decoder): void {
    this.caches.forEach((cache, i) => cache.join(other.caches[i]!));
  }

  /** Goes on with these rows, in this order. */
  select(rows: readonly number[]): void {
    for (const cache of this.caches) cache.select(rows);
  }

  /**
   * Forgets the tokens of the only sequence from `length` on, or all of them if a block with a window no longer has the keys that
   * the next token would see.
   *
   * @returns how many tokens are left.
   */
  truncate(length: number): number {
    if (this.caches.every((cache) => cache.truncate(length))) return length;
    this.dispose();
    return 0;
  }

  /** Frees the keys and values; it has one empty sequence again. The model stays. */
  dispose(): void {
    for (const cache of this.caches) cache.dispose();
  }

  /** Logits `[rows, 1, vocab]` of the token after the next ones of each row. */
  private logitsAfter(ids: ReadonlyArray<readonly number[]>): tf.Tensor {
    const {norm, head} = this.layers;
    const hidden = this.hiddenAfter(ids);
    const [rows, seq, width] = hidden.shape as [number, number, number];
    const last = tf.slice(hidden, [0, seq - 1, 0], [rows, 1, width]);
    return apply(head, apply(norm, last));
  }

  /** What the last block makes of the next tokens of each row, `[rows, seq, hidden]`. */
  private hiddenAfter(ids: ReadonlyArray<readonly number[]>): tf.Tensor {
    const {embedding, blocks} = this.layers;
    const tables = new RotaryTables();
    try {
      return tf.tidy(() => {
        let hidden = apply(embedding, tf.tensor2d(ids as number[][], undefined, 'int32'));
        const isNext = ids.every(({length}) => length === 1) && hasKernel(OwLoreDecodeBlocks);
        const together = isNext && decodedBlocks(hidden, blocks, this.caches, tables);
        if (together) return together;
        blocks.forEach((block, i) => {
          const before = hidden;
          // what a block makes is freed before the next one runs
          hidden = tf.tidy(() => apply(block, before, {cache: this.caches[i]!, tables}));
          before.dispose();
        });
        return hidden;
      });
    } finally {
      tables.dispose();
    }
  }
}

function apply(layer: tfl.layers.Layer, x: tf.Tensor, state?: DecodeState): tf.Tensor {
  return layer.apply(x, state && {...state}) as tf.Tensor;
}

function layersOf(model: tfl.LayersModel): LlamaLayers {
  checkModel('generate', model);
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
