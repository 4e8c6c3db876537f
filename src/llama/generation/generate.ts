import type * as tfl from '@tensorflow/tfjs-layers';
import {createRandom} from '../../random';
import {Decoder} from './decoder';
import {
  checkPrompt,
  resolveGenerateOptions,
  type GenerateOptions,
  type ResolvedGenerateOptions,
} from './generate_options';
import {drawIndex, largestIndex, tokenProbabilities} from './token_probabilities';

/** What `generate` has written. */
export interface Generation {
  /** The new tokens, without the prompt; a stop token or sequence is the last of them. */
  ids: number[];
  /** Why it ended: `maxNewTokens`, one of `stop`, or an `onToken` that returned false. */
  finishReason: 'length' | 'stop' | 'onToken';
}

/**
 * Continues a text. Each token is read once, because every block keeps the keys and values of earlier tokens:
 * a token costs one pass over the weights, and attention to the positions so far. For each token the logits
 * of the last position are read back, and the next token is chosen on the host.
 *
 * ```ts
 * const {ids} = await generate(model, prompt, {
 *   maxNewTokens: 64,
 *   temperature: 0.7,
 *   topP: 0.9,
 *   stop: tokenizer.eosTokenId,
 *   onToken: (id) => process.stdout.write(tokenizer.decode([id])),
 * });
 * ```
 *
 * The tensors of a run are freed when it ends, even with an error. A page that must not freeze can await
 * `tf.nextFrame()` in `onToken`.
 *
 * @param model One of `createLlama`.
 * @param ids The tokens to begin with, at least one.
 * @throws before anything is computed, if an id is not in the vocabulary, the prompt is empty, prompt and
 *   new tokens are more than the model's positions, or an option is not valid; later, if the logits are
 *   not finite, or if `onToken` throws.
 */
export async function generate(
  model: tfl.LayersModel,
  ids: ArrayLike<number>,
  options: GenerateOptions = {},
): Promise<Generation> {
  const decoder = new Decoder(model);
  const prompt = checkPrompt(ids, decoder);
  const resolved = resolveGenerateOptions(options, prompt.length, decoder);
  try {
    return await write(decoder, prompt, resolved);
  } finally {
    decoder.dispose();
  }
}

async function write(
  decoder: Decoder,
  prompt: readonly number[],
  options: ResolvedGenerateOptions,
): Promise<Generation> {
  const {maxNewTokens, stop, onToken} = options;
  const choose = tokenChoice(options);
  const ids: number[] = [];
  let unread = prompt;
  for (;;) {
    const logits = decoder.read(unread);
    let values: ArrayLike<number>;
    try {
      values = await logits.data();
    } finally {
      logits.dispose();
    }
    const id = choose(checkLogits(values, prompt.length + ids.length));
    ids.push(id);
    const goesOn = await onToken?.(id, ids);
    if (stop.some((sequence) => endsWith(ids, sequence))) return {ids, finishReason: 'stop'};
    if (goesOn === false) return {ids, finishReason: 'onToken'};
    if (ids.length === maxNewTokens) return {ids, finishReason: 'length'};
    unread = [id];
  }
}

/** From logits to the next token. */
function tokenChoice(options: ResolvedGenerateOptions): (logits: ArrayLike<number>) => number {
  if (options.temperature === 0) return largestIndex;
  const random = createRandom(options.seed);
  return (logits) => drawIndex(tokenProbabilities(logits, options), random);
}

function checkLogits(logits: ArrayLike<number>, position: number): ArrayLike<number> {
  for (let id = 0; id < logits.length; id++) {
    if (Number.isFinite(logits[id]!)) continue;
    throw new Error(
      `generate: the logits at position ${position} are not finite (${logits[id]} for token ${id}); ` +
        "are the model's weights?",
    );
  }
  return logits;
}

function endsWith(ids: readonly number[], sequence: readonly number[]): boolean {
  const from = ids.length - sequence.length;
  return from >= 0 && sequence.every((id, i) => ids[from + i] === id);
}
