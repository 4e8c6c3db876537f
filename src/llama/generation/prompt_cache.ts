import type * as tfl from '@tensorflow/tfjs-layers';
import {Decoder} from './decoder';

/**
 * The keys and values of a text, from one call of `generate` to the next: the tokens with which the next prompt begins, if they are
 * the same, are not read again. For a chat, whose prompts are all that was said before.
 *
 * ```ts
 * const cache = new PromptCache(model);
 * await generate(model, tokenizer.applyChatTemplate(messages, {addGenerationPrompt: true}), {cache});
 * ```
 *
 * Keys and values are those of the weights at that time: dispose of it when the model has been trained. It takes
 * `2 · numKeyValueHeads · headDim · 4` bytes per block and token, of blocks with a window for the tokens in it. They are freed by
 * `dispose`, and stay when the model is disposed of.
 */
export class PromptCache {
  private readonly decoder: Decoder;
  private ids: readonly number[] = [];
  private isBusy = false;

  /**
   * @param model One of `createLlama`; calls of `generate` with this cache must be of the same.
   * @throws if the model is not one of `createLlama`.
   */
  constructor(model: tfl.LayersModel) {
    this.decoder = new Decoder(model);
  }

  /** How many tokens it has. */
  get length(): number {
    return this.ids.length;
  }

  /**
   * Frees the keys and values; it can be used again, and is empty then.
   *
   * @throws if a call of `generate` with it has not ended.
   */
  dispose(): void {
    if (this.isBusy) {
      throw new Error(
        'PromptCache.dispose: it is in use by a call of generate; wait for its end, or abort it by its signal',
      );
    }
    this.clear();
  }

  /**
   * Runs a generation on it.
   *
   * @param prompt Its prompt.
   * @param body Gets a decoder that has read the first `known` tokens of the prompt, never all; resolves to all that it has read
   *   in the end, or null if that is not known. If it rejects, the cache is empty.
   * @throws if another one is still running, or the cache is of another model.
   * @internal
   */
  async use(
    model: tfl.LayersModel,
    prompt: readonly number[],
    body: (decoder: Decoder, known: number) => Promise<readonly number[] | null>,
  ): Promise<void> {
    if (model !== this.decoder.model) throw new Error('generate: cache is of another model');
    if (this.isBusy) throw new Error('generate: cache is in use by a call that has not ended');
    this.isBusy = true;
    let read: readonly number[] | null = null;
    try {
      const known = this.decoder.truncate(this.commonLength(prompt));
      read = await body(this.decoder, known);
    } finally {
      if (read) this.ids = read;
      else this.clear();
      this.isBusy = false;
    }
  }

  private clear(): void {
    this.ids = [];
    this.decoder.dispose();
  }

  /** How many tokens at the start of a prompt it has, without the last one, which has to be read for what comes after it. */
  private commonLength(prompt: readonly number[]): number {
    const max = Math.min(this.ids.length, prompt.length - 1);
    let length = 0;
    while (length < max && this.ids[length] === prompt[length]) length++;
    return length;
  }
}
