/** What a model in a worker writes: samples, and answers in a chat. */
import {generate, type ChatMessage, type LoadedLlama, type Tokenizer} from '../llama/index';
import {endTokens, TextStream} from '../llama/generation/text_stream';
import {encodePrompt, promptOf, type ExamplePrompt} from '../llama/text/example_prompt';
import type {TrainingData} from './data';
import {FineTuningError} from './errors';
import type {PromptStyle} from './events';
import type {WorkerChatMessage} from './options';
import type {Settings} from './settings';

/** A prompt as the tokens that the model reads: a text in the form of the examples, so that what was learnt from them is asked for. */
export function promptIds(
  tokenizer: Tokenizer,
  {promptForm}: Pick<TrainingData, 'promptForm'>,
  messages: WorkerChatMessage[] | string,
): number[] {
  const {hasChatTemplate} = tokenizer;
  const isText = typeof messages === 'string';
  if (isText && promptForm && messages.trim() !== '')
    return promptOf(promptForm(messages), tokenizer)!.ids;
  if (isText && !hasChatTemplate) return encodePrompt(tokenizer, messages);
  if (hasChatTemplate) {
    const all = isText ? [{role: 'user', content: messages}] : (messages as ChatMessage[]);
    return tokenizer.applyChatTemplate(all, {addGenerationPrompt: true});
  }
  throw new FineTuningError(
    'bad-option',
    'chat: the model has no chat template, so that it knows no messages; give it a text, which it goes on with',
  );
}

/** How a text is asked, in words. */
export function promptStyleOf(
  {hasChatTemplate}: Tokenizer,
  {promptForm}: Pick<TrainingData, 'promptForm'>,
): PromptStyle {
  const example = promptForm?.('…');
  if (example?.format === 'prompt-completion') return {by: 'examples', form: example.prompt};
  return {by: hasChatTemplate ? 'template' : 'text'};
}

/** Positions that a sample's answer has at least. */
const LEAST_ROOM = 16;

/**
 * What samples begin with: the prompts of the options, or the beginning of the first held-out example that has one, unless the model has no
 * positions for an answer then.
 */
export async function samplePrompts(
  {prompts}: Settings,
  tokenizer: Tokenizer,
  data: TrainingData,
  positions: number,
): Promise<ExamplePrompt[]> {
  if (prompts) {
    const isAsked = promptStyleOf(tokenizer, data).by !== 'text';
    return prompts.map((text) => ({ids: promptIds(tokenizer, data, text), text, isAsked}));
  }
  for await (const prompt of data.heldOut().prompts())
    return prompt.ids.length > positions - LEAST_ROOM ? [] : [prompt];
  return [];
}

/** What a model has written. */
export interface WrittenText {
  text: string;
  /** Whether it ends because it has `maxNewTokens`. */
  isCut: boolean;
}

/** The text that a model writes after a prompt; where that is cut within a character, without the part of it. */
export async function writeText(
  {
    model,
    config,
    generationConfig,
    tokenizer,
  }: Pick<LoadedLlama, 'model' | 'config' | 'generationConfig'> & {tokenizer: Tokenizer},
  ids: number[],
  options: {
    maxNewTokens: number;
    temperature?: number;
    seed: number | null;
    signal?: AbortSignal;
  },
  onText: (text: string) => void = () => undefined,
): Promise<WrittenText> {
  const stream = new TextStream(tokenizer, ids, []);
  const say = (text: string): void => {
    if (text !== '') onText(text);
  };
  const {finishReason} = await generate(model, ids, {
    ...options,
    stop: endTokens({tokenizer, config, generationConfig}),
    onToken: (id) => say(stream.push(id)),
  });
  say(withoutPart(stream.end()));
  return {text: withoutPart(stream.text), isCut: finishReason === 'length'};
}

/** A text without what stands at its end for bytes that are no whole character. */
function withoutPart(text: string): string {
  return text.replace(/\ufffd+$/, '');
}
