import type {SamplingOptions} from '../llama/generation/token_probabilities';
import {generate, PromptCache, type ChatMessage} from '../llama/index';
import type {Loaded} from './model_options';
import {endTokens, TextStream} from '../llama/generation/text_stream';

export interface ConversationOptions {
  /** How tokens are chosen. */
  sampling: SamplingOptions;
  seed: number | undefined;
  /** Texts before which an answer ends. */
  stop: readonly string[];
  /** What the model is told first. */
  system: string | undefined;
  /** Most tokens of an answer; default: as many as the model has positions left. */
  maxNewTokens: number | undefined;
}

/** What became of a message. */
export interface Answer {
  /**
   * `stop`: the model has said what it wanted to, or a text of `--stop`; `length`: all tokens that were allowed; `full`: the model has
   * no positions left; `interrupted`: it was stopped, and stays as it is; `unanswered`: it was stopped before a word was said, and
   * message and answer are forgotten; `too long`: the model has too few positions for what was said so far, and the message is forgotten.
   */
  end: 'stop' | 'length' | 'full' | 'interrupted' | 'unanswered' | 'too long';
  /** Of everything that was said so far, by the chat template. */
  promptTokens: number;
  newTokens: number;
}

/** What a person and a model say to each other. Keys and values of what was said are kept. */
export class Conversation {
  private said: ChatMessage[] = [];
  private answers = 0;
  private readonly cache: PromptCache;
  private readonly stop: number[];

  /** @throws if the tokenizer has no chat template, or if that does not take a system message. */
  constructor(
    private readonly loaded: Loaded,
    private readonly options: ConversationOptions,
  ) {
    this.stop = endTokens(loaded);
    this.cache = new PromptCache(loaded.model);
    this.reset();
    this.promptAfter('');
  }

  /** All messages, with the system's. */
  get messages(): readonly ChatMessage[] {
    return this.said;
  }

  /** How many tokens a model's text may have, with the prompt. */
  get positions(): number {
    return this.loaded.config.maxPositionEmbeddings;
  }

  /** Forgets everything but the system's message. */
  reset(): void {
    const {system} = this.options;
    this.said = system === undefined ? [] : [{role: 'system', content: system}];
  }

  /** Sends a message; the answer comes piece by piece, until `signal` is aborted. */
  async say(message: string, signal: AbortSignal, onText: (text: string) => void): Promise<Answer> {
    const {model, tokenizer} = this.loaded;
    const {maxNewTokens = Infinity, sampling, seed, stop} = this.options;
    const prompt = this.promptAfter(message);
    const left = this.positions - prompt.length;
    if (left < 1) return {end: 'too long', promptTokens: prompt.length, newTokens: 0};
    const stream = new TextStream(tokenizer, prompt, stop);
    const {ids, finishReason} = await generate(model, prompt, {
      ...sampling,
      maxNewTokens: Math.min(maxNewTokens, left),
      // or each answer to the same words would be the same
      seed: seed === undefined ? null : (seed + this.answers) % 2 ** 32,
      stop: this.stop,
      signal,
      cache: this.cache,
      onToken: (id) => {
        onText(stream.push(id));
        return !stream.isStopped;
      },
    });
    onText(stream.end());
    this.answers++;
    const counts = {promptTokens: prompt.length, newTokens: ids.length};
    if (finishReason === 'abort' && stream.text === '') return {end: 'unanswered', ...counts};
    this.said.push({role: 'user', content: message}, {role: 'assistant', content: stream.text});
    if (finishReason === 'abort') return {end: 'interrupted', ...counts};
    if (finishReason !== 'length') return {end: 'stop', ...counts};
    return {end: ids.length === left ? 'full' : 'length', ...counts};
  }

  /** Frees keys and values; the model stays. */
  dispose(): void {
    this.cache.dispose();
  }

  private promptAfter(message: string): number[] {
    return this.loaded.tokenizer.applyChatTemplate(
      [...this.said, {role: 'user', content: message}],
      {addGenerationPrompt: true},
    );
  }
}
