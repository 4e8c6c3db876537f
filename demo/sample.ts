/** Text by the model, a token at a time; each is computed from all before it, without a key-value cache. */
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import type {Tokenizer} from '@huggingface/tokenizers';

export interface SampleOptions {
  /** Number of tokens to add to the prompt. */
  tokens: number;
  /** Below 1 sharpens the distribution, above 1 flattens it. */
  temperature: number;
  /** The same seed gives the same text. */
  seed: number;
}

/** The prompt, and the text that the model writes after it. */
export async function sampleText(
  model: tfl.LayersModel,
  tokenizer: Tokenizer,
  prompt: string,
  {tokens, temperature, seed}: SampleOptions,
): Promise<string> {
  const ids = tokenizer.encode(prompt).ids;
  for (let i = 0; i < tokens; i++) {
    const next = tf.tidy(() => {
      const logits = model.predict(tf.tensor2d([ids], undefined, 'int32')) as tf.Tensor3D;
      const last = tf.reshape(tf.slice(logits, [0, ids.length - 1, 0], [1, 1, -1]), [-1]);
      return tf.multinomial(tf.div<tf.Tensor1D>(last, temperature), 1, seed + i);
    });
    ids.push((await next.data())[0]!);
    next.dispose();
  }
  return tokenizer.decode(ids);
}
