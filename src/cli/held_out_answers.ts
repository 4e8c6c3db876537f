/** What a model answers to some held-out prompts, before training and after it. */
import {generateBatch, type LlamaConfig} from '../llama/index';
import type {ExamplePrompt} from '../llama/text/example_prompt';
import type {Context} from './command';
import type {Loaded} from './model_options';
import {TextStream} from '../llama/generation/text_stream';
import {messageOf} from './usage_error';

/** A prompt and what the model goes on with. */
export interface Answer {
  prompt: string;
  text: string;
}

/** How many prompts are answered, in how many tokens, and in how many milliseconds all of them together. */
export const LIMITS = {prompts: 3, tokens: 64, time: 5000};

/** Examples that are looked at for prompts that are short enough. */
const LOOKS = 20;

/** The first held-out prompts that a model can take, in no more than half of its positions. */
export async function heldOutPrompts(
  examples: AsyncIterable<ExamplePrompt>,
  {vocabSize, maxPositionEmbeddings}: LlamaConfig,
): Promise<ExamplePrompt[]> {
  const prompts: ExamplePrompt[] = [];
  let looks = 0;
  for await (const prompt of examples) {
    const {ids} = prompt;
    const isRight = ids.length <= maxPositionEmbeddings! / 2 && ids.every((id) => id < vocabSize);
    if (isRight) prompts.push(prompt);
    if (prompts.length === LIMITS.prompts || ++looks === LOOKS) break;
  }
  return prompts;
}

/**
 * Has a model answer prompts, each by its most probable tokens, so that no random number is drawn. An answer that was cut off ends with
 * three dots.
 *
 * @param of The model, with its tokenizer and the tokens that end an answer.
 * @returns those that it has begun in time; none if a signal has come, or if it cannot answer, which a line says.
 */
export async function answersOf(
  {
    model,
    config,
    tokenizer,
    stop,
  }: Pick<Loaded, 'model' | 'config' | 'tokenizer'> & {stop: number[]},
  prompts: readonly ExamplePrompt[],
  {console, interruption: {signal}}: Pick<Context, 'console' | 'interruption'>,
): Promise<Answer[]> {
  if (prompts.length === 0 || signal.aborted) return [];
  const longest = Math.max(...prompts.map(({ids}) => ids.length));
  const maxNewTokens = Math.min(LIMITS.tokens, config.maxPositionEmbeddings - longest);
  const progress = console.progress({label: 'answering held-out prompts', total: maxNewTokens});
  // by hand: in Node 20 what AbortSignal.any makes of a timeout may be collected before it comes
  const end = new AbortController();
  const abort = (): void => end.abort();
  const timer = setTimeout(abort, LIMITS.time);
  signal.addEventListener('abort', abort);
  try {
    const written = await generateBatch(
      model,
      prompts.map(({ids}) => ids),
      {
        ...{maxNewTokens, stop, seed: 0, batchSize: prompts.length},
        signal: end.signal,
        onToken: (_, {length}) => progress.update(length),
      },
    );
    if (signal.aborted) return [];
    // sparse where time was over before a prompt was read
    return written.flatMap(({ids, finishReason}, i) => {
      const {ids: before, text: prompt} = prompts[i]!;
      const stream = new TextStream(tokenizer, before, []);
      const text = ids.map((id) => stream.push(id)).join('') + stream.end();
      return ids.length > 0 ? [{prompt, text: finishReason === 'stop' ? text : `${text}…`}] : [];
    });
  } catch (error) {
    console.note(`held-out prompts are not answered: ${messageOf(error)}`);
    return [];
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
    progress.end();
  }
}
