import type * as tf from '@tensorflow/tfjs-core';
import {nextTurn} from '../../common/next_turn';
import {Decoder} from './decoder';
import type {ResolvedGenerateOptions} from './generate_options';
import type {Generation} from './generate_options';
import type {TextInProgress} from './text_in_progress';

/** How many tokens of a prompt are read at a time: the memory that a prompt takes beside its keys and values is that of so many. */
export const PROMPT_PIECE = 256;

/**
 * Writes texts, up to `batchSize` at a time: a step reads the last token of each, in one pass over the weights. A prompt is read
 * alone, as soon as a text before it has ended, and joins the others then.
 *
 * @param decoder Reads the first prompt; all others are read by decoders of their own, and join it. The caller disposes of it.
 * @param known How many tokens at the start of the first prompt it has read already.
 * @returns the texts in their order, without those that had not begun when `signal` was aborted.
 */
export async function writeTexts(
  decoder: Decoder,
  texts: readonly TextInProgress[],
  options: ResolvedGenerateOptions,
  known = 0,
): Promise<Generation[]> {
  const {batchSize, signal, onResult} = options;
  const results: Generation[] = [];
  /** The texts that are the rows of `decoder`. */
  let rows: TextInProgress[] = [];
  let begun = 0;

  const end = async (text: TextInProgress, reason: Generation['finishReason']): Promise<void> => {
    results[text.index] = text.ended(reason);
    await onResult?.(results[text.index]!, text.index);
  };
  /** Reads a prompt. Its text becomes a row, if it does not end with the first token. */
  const begin = async (text: TextInProgress): Promise<void> => {
    const isFirst = rows.length === 0;
    const own = isFirst ? decoder : new Decoder(decoder.model);
    try {
      if (text.index > 0 && isFirst) own.dispose(); // it may have the rows of earlier texts
      const unread = text.index === 0 ? text.prompt.slice(known) : text.prompt;
      const logits = await readPrompt(own, unread, signal);
      const reason = logits ? await text.push(await valuesOf(logits)) : 'abort';
      if (reason) {
        await end(text, reason);
        return;
      }
      if (!isFirst) decoder.join(own);
      rows.push(text);
    } finally {
      if (!isFirst) own.dispose();
    }
  };

  for (;;) {
    while (rows.length < batchSize && begun < texts.length && !signal?.aborted) {
      // here too, since texts that end with their first token come to no step
      if (signal && begun > 0) {
        await nextTurn();
        if (signal.aborted) break;
      }
      await begin(texts[begun++]!);
    }
    if (rows.length === 0) return results;
    if (signal) await nextTurn();
    if (signal?.aborted) {
      for (const text of rows) await end(text, 'abort');
      return results;
    }
    const logits = await valuesOf(decoder.readEach(rows.map(({last}) => last)));
    const size = logits.length / rows.length;
    const goOn: number[] = [];
    for (const [row, text] of rows.entries()) {
      const reason = await text.push(logits.subarray(row * size, (row + 1) * size));
      if (reason) await end(text, reason);
      else goOn.push(row);
    }
    if (goOn.length < rows.length && goOn.length > 0) decoder.select(goOn);
    rows = goOn.map((row) => rows[row]!);
  }
}

/** Reads a prompt piece by piece; returns the logits after it, or null if `signal` is aborted before. */
async function readPrompt(
  decoder: Decoder,
  ids: readonly number[],
  signal?: AbortSignal,
): Promise<tf.Tensor | null> {
  let from = 0;
  for (; from + PROMPT_PIECE < ids.length; from += PROMPT_PIECE) {
    decoder.skip(ids.slice(from, from + PROMPT_PIECE));
    if (signal) await nextTurn();
    if (signal?.aborted) return null;
  }
  return decoder.read(ids.slice(from));
}

/** The values of a tensor, which is disposed of. */
async function valuesOf(tensor: tf.Tensor): Promise<Float32Array> {
  try {
    return (await tensor.data()) as Float32Array;
  } finally {
    tensor.dispose();
  }
}
