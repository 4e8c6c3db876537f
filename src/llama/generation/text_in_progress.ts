import {createRandom} from '../../common/random';
import type {Generation, ResolvedGenerateOptions} from './generate_options';
import {drawIndex, largestIndex, penalized, tokenProbabilities} from './token_probabilities';

/** A text that is being written: a prompt and the tokens so far, each chosen from the logits after the one before. */
export class TextInProgress {
  private readonly ids: number[] = [];
  private readonly choose: (logits: ArrayLike<number>) => number;
  /** The tokens that a penalty is for, of prompt and text; null without one. */
  private readonly known: Set<number> | null;

  /**
   * @param name What messages about it begin with.
   * @param index Its place among the prompts.
   */
  constructor(
    private readonly name: string,
    readonly index: number,
    readonly prompt: readonly number[],
    private readonly options: ResolvedGenerateOptions,
    private readonly maxNewTokens: number,
  ) {
    this.choose = tokenChoice(options, index);
    this.known = options.repetitionPenalty === 1 ? null : new Set(prompt);
  }

  get last(): number {
    return this.ids.at(-1)!;
  }

  /**
   * Chooses the next token.
   *
   * @returns why the text ends with it, or null.
   * @throws if the logits are not finite, or what `onToken` throws.
   */
  async push(logits: ArrayLike<number>): Promise<Generation['finishReason'] | null> {
    const {stop, onToken, repetitionPenalty} = this.options;
    checkLogits(this.name, logits, this.prompt.length + this.ids.length);
    const {known} = this;
    const id = this.choose(known ? penalized(logits, known, repetitionPenalty) : logits);
    this.ids.push(id);
    known?.add(id);
    const goesOn = await onToken?.(id, this.ids, this.index);
    if (stop.some((sequence) => endsWith(this.ids, sequence))) return 'stop';
    if (goesOn === false) return 'onToken';
    return this.ids.length === this.maxNewTokens ? 'length' : null;
  }

  ended(finishReason: Generation['finishReason']): Generation {
    return {ids: this.ids, finishReason};
  }
}

/** From logits to the next token. Texts draw independently of each other. */
function tokenChoice(
  options: ResolvedGenerateOptions,
  index: number,
): (logits: ArrayLike<number>) => number {
  if (options.temperature === 0) return largestIndex;
  const random = createRandom((options.seed + index) % 2 ** 32);
  return (logits) => drawIndex(tokenProbabilities(logits, options), random);
}

function checkLogits(name: string, logits: ArrayLike<number>, position: number): void {
  for (let id = 0; id < logits.length; id++) {
    if (Number.isFinite(logits[id]!)) continue;
    throw new Error(
      `${name}: the logits at position ${position} are not finite (${logits[id]} for token ${id}); ` +
        "are the model's weights?",
    );
  }
}

function endsWith(ids: readonly number[], sequence: readonly number[]): boolean {
  const from = ids.length - sequence.length;
  return from >= 0 && sequence.every((id, i) => ids[from + i] === id);
}
