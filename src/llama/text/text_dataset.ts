import {isObject, show, type JsonObject} from '../../files/json';
import {cut} from '../../common/options';
import type {DataSource} from './data_file';
import {resolveDatasetOptions, type TextDatasetOptions} from './dataset_options';
import {
  checkPassState,
  DatasetPass,
  firstState,
  type PassState,
  type TextBatch,
} from './dataset_pass';
import type {DatasetReport} from './dataset_report';
import type {ExamplePrompt} from './example_prompt';
import {fieldsText} from './formats';
import type {Tokenizer} from './tokenizer';

/** Where a dataset stands between two batches, as plain JSON. */
export interface TextDatasetState extends PassState {
  /** The options on which batches depend. */
  settings: Record<string, unknown>;
}

const OWNER = 'textDataset';

/**
 * Examples of a file as batches for `model.fitDataset`, `model.evaluateDataset` or a custom loop:
 * `for await (const {xs, ys} of dataset)`. Made by `textDataset`.
 */
export class TextDataset implements AsyncIterable<TextBatch> {
  /** Batches in a pass: NaN until the first pass has ended. */
  size = NaN;

  private readonly options: Required<TextDatasetOptions>;
  /** The pass whose batches were taken last. */
  private pass: DatasetPass | null = null;
  /** What the next pass begins with. */
  private next = firstState(0);

  /** @throws if there is no tokenizer, or an option is unknown or out of range. */
  constructor(
    private readonly source: DataSource,
    private readonly tokenizer: Tokenizer,
    options: TextDatasetOptions,
  ) {
    this.options = resolveDatasetOptions(OWNER, options);
    if (typeof (tokenizer as Partial<Tokenizer> | undefined)?.encode !== 'function')
      throw new Error(`${OWNER}: tokenizer must be one, as loadTokenizer gives it`);
  }

  /** What has become of the examples so far, in the pass whose batches were taken last. */
  get report(): DatasetReport {
    return structuredClone(this.pass?.report ?? this.next.report);
  }

  /** Another pass over the data; it begins when its first batch is asked for. */
  async iterator(): Promise<AsyncGenerator<TextBatch, void>> {
    return this.batches();
  }

  /** As `iterator`. */
  [Symbol.asyncIterator](): AsyncGenerator<TextBatch, void> {
    return this.batches();
  }

  /**
   * The beginnings of the examples of a pass, which a model may go on from, without the answers.
   *
   * @internal
   */
  prompts(): AsyncGenerator<ExamplePrompt> {
    return new DatasetPass(OWNER, this.source, this.tokenizer, this.options, this.next).prompts();
  }

  /** The state after the batch that was taken last. */
  state(): TextDatasetState {
    const {pass, next} = this;
    const state = pass && !pass.report.isComplete ? pass.state() : structuredClone(next);
    return {settings: this.settings(), ...state};
  }

  /**
   * Goes on from a state: the next iterator gives the batches after it, to the end of their pass. Earlier
   * examples are read again, but not tokenized.
   *
   * @throws if it is no such state, or was made with other options; nothing is changed then.
   */
  restore(given: TextDatasetState): void {
    const saved: unknown = given;
    if (!isObject(saved) || !isObject(saved['settings'])) {
      throw new Error(
        `${OWNER}: a state must be {settings, epoch, drawn, rest, report}, as dataset.state() gives it; got ${show(saved)}`,
      );
    }
    const {settings, ...state} = saved as JsonObject & {settings: JsonObject};
    for (const [name, value] of Object.entries(this.settings())) {
      if (settings[name] !== value) {
        throw new Error(
          `${OWNER}: the state is of a dataset with ${name} ${plain(settings[name])}; this one has ${plain(value)}`,
        );
      }
    }
    checkPassState(OWNER, state, this.options);
    this.next = structuredClone(state);
    this.pass = null;
  }

  private settings(): Record<string, unknown> {
    const {format, maxLength, batchSize, packing, learnPrompts} = this.options;
    const fields = this.options.fields && fieldsText(this.options.fields);
    const {shuffle, shuffleBuffer, seed} = this.options;
    const order = shuffle ? {seed, shuffleBuffer} : {};
    return {format, fields, maxLength, batchSize, packing, learnPrompts, shuffle, ...order};
  }

  private async *batches(): AsyncGenerator<TextBatch, void> {
    do {
      const {next: from, options} = this;
      this.next = firstState(from.epoch + 1);
      const pass = new DatasetPass(OWNER, this.source, this.tokenizer, options, from);
      this.pass = pass;
      yield* pass.batches();
      this.size = pass.report.batches;
      // a state that was taken after the last batch of its pass has nothing left to give
      if (from.report.batches === pass.report.batches) yield* this.batches();
    } while (this.options.repeat);
  }
}

/** A setting in a message; a text without quotes. */
function plain(value: unknown): string {
  return typeof value === 'string' ? cut(value) : show(value);
}

/**
 * Examples of a `jsonl` file, of a `json` file with an array, of a `csv` or `tsv` file with a header, or of a plain text, as batches of
 * token ids and labels. The file is read anew in each pass, some of it at a time, so it may be larger than memory.
 *
 * An example has `messages` or `conversations` (through the tokenizer's chat template), `instruction`, `input` and `output` (as Stanford
 * Alpaca), a prompt and an answer (`prompt`, `question` or `instruction`; `completion`, `response`, `answer` or `output`; turns of a chat
 * if there is a template), or `text`. A paragraph of a plain text, or a line if no line is blank, is such a `text`. The end token follows
 * each text and answer. Only answers are learned, but all of a `text`. What cannot be used is dropped and counted in `dataset.report`.
 *
 * ```ts
 * const dataset = textDataset('train.jsonl', tokenizer, {maxLength: 256, batchSize: 8, config});
 * await model.fitDataset(dataset, {epochs: 3});
 * console.log(dataset.report);
 * ```
 *
 * @param source The file's path (Node only) or URL, or the file itself, as a `Blob` or bytes.
 * @throws if there is no tokenizer, or an option is unknown or out of range. While batches are taken: if the file is missing or
 *   changes, if it has no example that can be used, or none among the first 10,000 that are drawn, or if a token is outside the vocabulary of `config`.
 */
export function textDataset(
  source: DataSource,
  tokenizer: Tokenizer,
  options: TextDatasetOptions = {},
): TextDataset {
  return new TextDataset(source, tokenizer, options);
}
