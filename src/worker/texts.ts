/** What a model in a worker writes: samples, and answers in a chat. */
import {generate, type ChatMessage, type LoadedLlama, type Tokenizer} from '../llama/index';
import {endTokens, TextStream} from '../llama/generation/text_stream';
import type {TrainingData} from './data';
import {FineTuningError} from './errors';
import type {WorkerChatMessage} from './options';
import type {Settings} from './settings';

/** A prompt as the tokens that the model reads. */
export function promptIds(tokenizer: Tokenizer, messages: WorkerChatMessage[] | string): number[] {
  const {hasChatTemplate} = tokenizer;
  const isText = typeof messages === 'string';
  if (isText && !hasChatTemplate) return tokenizer.encode(messages);
  if (hasChatTemplate) {
    const all = isText ? [{role: 'user', content: messages}] : (messages as ChatMessage[]);
    return tokenizer.applyChatTemplate(all, {addGenerationPrompt: true});
  }
  throw new FineTuningError(
    'bad-option',
    'chat: the model has no chat template, so that it knows no messages; give it a text, which it goes on with',
  );
}

/** What samples begin with: the prompts of the options, or the beginning of the first held-out example that has one. */
export async function samplePrompts(
  {prompts}: Settings,
  tokenizer: Tokenizer,
  data: TrainingData,
): Promise<Array<{ids: number[]; text: string}>> {
  if (prompts) return prompts.map((text) => ({ids: promptIds(tokenizer, text), text}));
  for await (const {ids, text} of data.heldOut().prompts()) return [{ids, text}];
  return [];
}

/** The text that a model writes after a prompt. */
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
): Promise<string> {
  const stream = new TextStream(tokenizer, ids, []);
  const say = (text: string): void => {
    if (text !== '') onText(text);
  };
  await generate(model, ids, {
    ...options,
    stop: endTokens({tokenizer, config, generationConfig}),
    onToken: (id) => say(stream.push(id)),
  });
  say(stream.end());
  return stream.text;
}
