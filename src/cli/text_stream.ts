/** From tokens, as they come, to text that is certain. */
import type {Tokenizer} from '../llama/index';

/** Tokens of the prompt that are decoded before the text, because a tokenizer may remove a space from the first token. */
const CONTEXT = 6;
/** Stands for bytes that are not, or not yet, a character. */
const REPLACEMENT = '\uFFFD';

/** The text that a model writes after a prompt. */
export class TextStream {
  /** The text so far, without what ends it. */
  text = '';
  /** Whether one of the stops has come. */
  isStopped = false;

  private readonly ids: number[];
  /** The last tokens whose text is known are those from `from` to before `known`. */
  private from: number;
  private known: number;
  /** The text that may be the start of a stop. */
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

  /** Takes in a token; returns the text that is certain now, which may be none. */
  push(id: number): string {
    this.ids.push(id);
    const added = this.unknown();
    if (added === '' || added.endsWith(REPLACEMENT)) return '';
    this.from = this.known;
    this.known = this.ids.length;
    return this.take(added);
  }

  /** The rest of the text: no token follows. */
  end(): string {
    if (this.isStopped) return '';
    const added = this.take(this.unknown()) + (this.isStopped ? '' : this.held);
    if (!this.isStopped) this.text += this.held;
    this.held = '';
    return added;
  }

  /** The text of the tokens behind `known`. */
  private unknown(): string {
    const decode = (to?: number): string =>
      this.tokenizer.decode(this.ids.slice(this.from, to), {skipSpecialTokens: true});
    return decode().slice(decode(this.known).length);
  }

  /** Adds to the text; returns it up to a stop, or to where one may begin. */
  private take(added: string): string {
    const all = this.held + added;
    const ends = this.stops.map((stop) => all.indexOf(stop)).filter((at) => at >= 0);
    this.isStopped = ends.length > 0;
    const end = this.isStopped ? Math.min(...ends) : all.length - this.startOfStop(all);
    this.held = this.isStopped ? '' : all.slice(end);
    this.text += all.slice(0, end);
    return all.slice(0, end);
  }

  /** How many characters at the end of a text are the start of a stop. */
  private startOfStop(text: string): number {
    const longest = Math.max(0, ...this.stops.map(({length}) => length - 1));
    for (let length = Math.min(longest, text.length); length > 0; length--) {
      if (this.stops.some((stop) => stop.startsWith(text.slice(-length)))) return length;
    }
    return 0;
  }
}
