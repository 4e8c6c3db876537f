/** Turns tokens into text one by one: text is returned as soon as no later token can change it. */
import type {LlamaConfig} from '../config';
import type {GenerationConfig} from '../files/generation_config';
import type {Tokenizer} from '../text/tokenizer';

/** Tokens of the prompt that are decoded before the text, because a tokenizer may remove a space from the first token. */
const CONTEXT = 6;
/** Stands for bytes that are not, or not yet, a character. */
const REPLACEMENT = '\uFFFD';

/** The text that a model writes after a prompt. */
export class TextStream {
  /** The text so far, without what ends it. */
  text = '';
  /** Whether the text has reached one of the stops. */
  isStopped = false;

  private readonly ids: number[];
  /** Tokens before `known` are already in the text; decoding starts at `from`, for context. */
  private from: number;
  private known: number;
  /** The end of the text so far, held back because it may be the start of a stop. */
  private held = '';

  /**
   * @param prompt Its token ids.
   * @param stops Texts that end it and are no part of it.
   */
  constructor(
    private readonly tokenizer: Tokenizer,
    prompt: readonly number[],
    private readonly stops: readonly string[],
  ) {
    this.ids = prompt.slice(-CONTEXT);
    this.from = 0;
    this.known = this.ids.length;
  }

  /** Takes the next token; returns the text that is certain by now and was not before, which may be empty. */
  push(id: number): string {
    this.ids.push(id);
    const added = this.unknown();
    if (added === '' || added.endsWith(REPLACEMENT)) return '';
    this.from = this.known;
    this.known = this.ids.length;
    return this.take(added);
  }

  /** Returns the rest of the text, when no token follows. */
  end(): string {
    if (this.isStopped) return '';
    const added = this.take(this.unknown()) + (this.isStopped ? '' : this.held);
    if (!this.isStopped) this.text += this.held;
    this.held = '';
    return added;
  }

  /** The text of the tokens from `known` on. */
  private unknown(): string {
    const decode = (to?: number): string =>
      this.tokenizer.decode(this.ids.slice(this.from, to), {skipSpecialTokens: true});
    return decode().slice(decode(this.known).length);
  }

  /** Adds to the text up to a stop, or to where one may begin, and returns what was added. */
  private take(added: string): string {
    const all = this.held + added;
    const first = this.stops.reduce((least, stop) => {
      const at = all.indexOf(stop);
      return at < 0 ? least : Math.min(least, at);
    }, Infinity);
    this.isStopped = first < Infinity;
    const end = this.isStopped ? first : all.length - this.startOfStop(all);
    this.held = this.isStopped ? '' : all.slice(end);
    this.text += all.slice(0, end);
    return all.slice(0, end);
  }

  /** How many characters at the end of a text are the start of a stop. */
  private startOfStop(text: string): number {
    const longest = this.stops.reduce((max, {length}) => Math.max(max, length - 1), 0);
    for (let length = Math.min(longest, text.length); length > 0; length--) {
      if (this.stops.some((stop) => stop.startsWith(text.slice(-length)))) return length;
    }
    return 0;
  }
}

/** The tokens after which a model has no more to say, as its files have it. */
export function endTokens({
  tokenizer,
  config,
  generationConfig,
}: {
  tokenizer: Tokenizer;
  config: Pick<Required<LlamaConfig>, 'vocabSize'>;
  generationConfig: GenerationConfig;
}): number[] {
  const ids = [tokenizer.eosTokenId ?? -1, ...generationConfig.stop];
  return [...new Set(ids)].filter((id) => id >= 0 && id < config.vocabSize);
}
