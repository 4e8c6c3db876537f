import type * as tfl from '@tensorflow/tfjs-layers';
import {display} from '../../common/options';
import {Decoder} from './decoder';
import {
  checkPrompt,
  newTokensAfter,
  resolveGenerateOptions,
  type GenerateBatchOptions,
  type GenerateOptions,
} from './generate_options';
import type {Generation} from './generate_options';
import {TextInProgress} from './text_in_progress';
import {writeTexts} from './write_texts';

/**
 * Continues a text. Each token is read once, because every block keeps the keys and values of earlier tokens:
 * a token costs one pass over the weights, and attention to the positions so far. A prompt is read in pieces of 256 tokens, so that
 * memory does not grow with it beyond keys and values. For each token the logits
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
 * The tensors of a run are freed when it ends, even with an error; those of a `cache` stay until it is disposed of. A page that must
 * not freeze can await `tf.nextFrame()` in `onToken`.
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
  const owner = 'generate';
  const decoder = new Decoder(model);
  const prompt = checkPrompt(owner, 'ids', ids, decoder);
  const resolved = resolveGenerateOptions(owner, options, decoder);
  const max = newTokensAfter(owner, prompt.length, options, decoder);
  const text = new TextInProgress(owner, 0, prompt, resolved, max);
  let result: Generation = {ids: [], finishReason: 'abort'};
  const write = async (decoder: Decoder, known = 0): Promise<readonly number[] | null> => {
    [result = result] = await writeTexts(decoder, [text], resolved, known);
    // the last token is only read to go on; without one the prompt may not have been read to its end
    return result.ids.length > 0 ? [...prompt, ...result.ids.slice(0, -1)] : null;
  };
  if (options.cache) {
    await options.cache.use(model, prompt, write);
    return result;
  }
  try {
    await write(decoder);
    return result;
  } finally {
    decoder.dispose();
  }
}

/**
 * Continues several texts, `batchSize` at a time: a token of each costs one pass over the weights for all. When a text ends, the next
 * prompt takes its place.
 *
 * ```ts
 * const results = await generateBatch(model, prompts, {batchSize: 8, stop: tokenizer.eosTokenId});
 * ```
 *
 * Each result is that of `generate` with its prompt alone, whatever `batchSize` is; with the seed `seed + i` for prompt `i`. Backends
 * add up a product of one row in another order than one of several, so logits differ by rounding, and a text differs where two tokens
 * are equally probable to about six digits.
 *
 * @param model One of `createLlama`.
 * @param prompts The tokens of each prompt.
 * @returns the results in the order of the prompts; after `signal` was aborted, of those that had begun.
 * @throws as `generate`; a message names the prompt. Nothing is returned then, so take results by `onResult` where that would be a loss.
 */
export async function generateBatch(
  model: tfl.LayersModel,
  prompts: ReadonlyArray<ArrayLike<number>>,
  options: GenerateBatchOptions = {},
): Promise<Generation[]> {
  const owner = 'generateBatch';
  const decoder = new Decoder(model);
  if (!Array.isArray(prompts)) {
    throw new Error(
      `${owner}: prompts must be an array of lists of token ids; got ${display(prompts)}`,
    );
  }
  const resolved = resolveGenerateOptions(owner, options, decoder);
  const texts = prompts.map((ids: unknown, i) => {
    const prompt = checkPrompt(owner, `prompts[${i}]`, ids, decoder);
    const max = newTokensAfter(owner, prompt.length, options, decoder, ` for prompts[${i}]`);
    return new TextInProgress(`${owner}: prompts[${i}]`, i, prompt, resolved, max);
  });
  try {
    return await writeTexts(decoder, texts, resolved);
  } finally {
    decoder.dispose();
  }
}
