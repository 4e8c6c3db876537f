/** From texts to token windows to batches. */
import * as tf from '@tensorflow/tfjs-core';
import type {Tokenizer} from '@huggingface/tokenizers';
import {END_OF_TEXT} from './bpe';

/**
 * Inputs `[windows, length]` and, one position on, the tokens to predict `[windows, length, 1]`, int32. The caller
 * disposes of them.
 */
export interface Windows {
  x: tf.Tensor2D;
  y: tf.Tensor3D;
}

/** All documents as one row of token ids, each ended by {@link END_OF_TEXT}. */
export function encodeDocuments(tokenizer: Tokenizer, documents: readonly string[]): Int32Array {
  return Int32Array.from(documents.flatMap((text) => tokenizer.encode(text + END_OF_TEXT).ids));
}

/** `count` windows at random places, the same ones for the same seed. */
export function randomWindows(tokens: Int32Array, count: number, length: number, seed: number) {
  const starts = tf.tidy(() => tf.randomUniform([count], 0, 1, 'float32', seed).dataSync());
  return windows(
    tokens,
    Array.from(starts, (u) => Math.floor(u * (tokens.length - length))),
    length,
  );
}

/** `count` windows evenly spread over the tokens. */
export function evenWindows(tokens: Int32Array, count: number, length: number): Windows {
  const stride = (tokens.length - length) / count;
  return windows(
    tokens,
    Array.from({length: count}, (_, i) => Math.floor(i * stride)),
    length,
  );
}

function windows(tokens: Int32Array, starts: readonly number[], length: number): Windows {
  const shape: [number, number] = [starts.length, length];
  const [x, y] = [new Int32Array(starts.length * length), new Int32Array(starts.length * length)];
  starts.forEach((start, i) => {
    x.set(tokens.subarray(start, start + length), i * length);
    y.set(tokens.subarray(start + 1, start + length + 1), i * length);
  });
  return {x: tf.tensor2d(x, shape, 'int32'), y: tf.tensor3d(y, [...shape, 1], 'int32')};
}
