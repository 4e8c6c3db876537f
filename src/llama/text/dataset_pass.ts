import * as tf from '@tensorflow/tfjs-core';
import {isObject, show, type JsonObject} from '../../files/json';
import {checkNumber, stepRange} from '../../common/options';
import {createRandom} from '../../common/random';
import {chunksOf, nameOf, openDataFile, type DataSource} from './data_file';
import type {TextDatasetOptions} from './dataset_options';
import {
  addProblem,
  checkReport,
  emptyReport,
  problemText,
  worstFirst,
  type DatasetReport,
} from './dataset_report';
import {checkVocabulary, encodeExample, IGNORED, type EncodedExample} from './encode_example';
import {ExampleError} from './example_error';
import {promptOf, type ExamplePrompt} from './example_prompt';
import {readExample, type Example} from './formats';
import {parseRecord, readRecords} from './records';
import {Packer, paddedRow, type Rest, type Row} from './rows';
import {shuffled} from './shuffle';
import type {RawRecord} from './splitter';
import type {Tokenizer} from './tokenizer';

/** A batch for `sparseCrossEntropy`; whoever takes it disposes of both tensors, as `fitDataset` does. */
export interface TextBatch {
  /** Token ids, int32 `[rows, maxLength]`. */
  xs: tf.Tensor2D;
  /** At each position the next token, −100 where it is not learned, int32 `[rows, maxLength, 1]`. */
  ys: tf.Tensor3D;
}

/** The progress of a pass, as plain JSON. */
export interface PassState {
  /** Which pass it is, from 0. */
  epoch: number;
  /** Examples that have been drawn. */
  drawn: number;
  /** With `packing`, tokens that wait for their row. */
  rest: Rest;
  report: DatasetReport;
}

/** The state of a pass that begins. */
export function firstState(epoch: number): PassState {
  return {epoch, drawn: 0, rest: {ids: [], labels: []}, report: emptyReport(epoch)};
}

/** Throws unless a state, which may be a stranger's, can be one of a pass that has not come to its end. */
export function checkPassState(
  owner: string,
  state: JsonObject,
  {packing, config}: Pick<Required<TextDatasetOptions>, 'packing' | 'config'>,
): asserts state is JsonObject & PassState {
  const {epoch, drawn, rest, report} = state;
  checkNumber(owner, 'epoch', epoch, stepRange);
  checkNumber(owner, 'drawn', drawn, stepRange);
  const {ids, labels} = isObject(rest) ? rest : {};
  const max = (config?.vocabSize ?? 2 ** 31) - 1;
  const isId = (id: unknown): boolean =>
    Number.isInteger(id) && (id as number) >= 0 && (id as number) <= max;
  const isRest =
    Array.isArray(ids) &&
    Array.isArray(labels) &&
    ids.length === labels.length &&
    ids.every(isId) &&
    labels.every((label) => label === IGNORED || isId(label)) &&
    (packing || ids.length === 0);
  if (!isRest) {
    throw new Error(
      `${owner}: rest must be {ids, labels}, as many labels as tokens from 0 to ${max}, and none without packing; ` +
        `got ${show(rest)}`,
    );
  }
  checkReport(owner, report);
}

/** After so many examples none of which can be used, the pass gives up: all of a large file would take hours to be tokenized for nothing. */
const MAX_UNUSABLE = 10_000;

/** Kinds of problems in an error. */
const SHOWN_PROBLEMS = 3;

/** One pass over a file of examples: read, drawn, tokenized, put in rows, put in batches. */
export class DatasetPass {
  readonly report: DatasetReport;
  /** Examples that were not selected. */
  private leftOut = 0;
  private readonly packer: Packer;
  private readonly padId: number;
  /** What messages start with. */
  private readonly owner: string;
  private drawn: number;

  constructor(
    owner: string,
    private readonly source: DataSource,
    private readonly tokenizer: Tokenizer,
    private readonly options: Required<TextDatasetOptions>,
    private readonly from: PassState,
  ) {
    this.owner = `${owner}: ${nameOf(source)}`;
    this.report = structuredClone(from.report);
    this.packer = new Packer(options.maxLength, from.rest);
    // some models lack the token that their tokenizer pads with; it is not learned, so another one does as well
    const {padTokenId, eosTokenId} = tokenizer;
    const isKnown = (id: number | null): boolean => id !== null && id < this.vocabSize;
    this.padId = [padTokenId, eosTokenId].find(isKnown) ?? 0;
    this.drawn = from.drawn;
  }

  /** The state after the last batch. */
  state(): PassState {
    const {drawn, packer, report} = this;
    return {epoch: this.from.epoch, drawn, rest: packer.rest, report: structuredClone(report)};
  }

  /** @throws if the pass has come to its end without a batch, or if none of the first 10,000 examples that it draws can be used. */
  async *batches(): AsyncGenerator<TextBatch> {
    let rows: Row[] = [];
    for await (const row of this.rows()) {
      rows.push(row);
      if (rows.length < this.options.batchSize) continue;
      const batch = this.toBatch(rows);
      rows = [];
      yield batch;
    }
    if (rows.length > 0) yield this.toBatch(rows);
    this.report.isComplete = true;
    if (this.report.batches === 0) throw this.nothingUsed();
  }

  /** The beginnings of examples, in the order of the pass; those that cannot be used are left out. */
  async *prompts(): AsyncGenerator<ExamplePrompt> {
    for await (const record of this.records()) {
      let prompt: ExamplePrompt | null = null;
      try {
        prompt = promptOf(this.read(record), this.tokenizer);
      } catch {
        // the report of the batches says why
      }
      if (prompt && prompt.ids.length > 0) yield prompt;
    }
  }

  /** Tokens of the model; infinite if it is not known. */
  private get vocabSize(): number {
    return this.options.config?.vocabSize ?? Infinity;
  }

  private toBatch(rows: readonly Row[]): TextBatch {
    const {report} = this;
    const {maxLength} = this.options;
    const ids = new Int32Array(rows.length * maxLength);
    const labels = new Int32Array(ids.length);
    rows.forEach((row, i) => {
      ids.set(row.ids, i * maxLength);
      labels.set(row.labels, i * maxLength);
      report.tokens += row.tokens;
    });
    report.batches++;
    for (const label of labels) if (label !== IGNORED) report.learnedTokens++;
    return {
      xs: tf.tensor2d(ids, [rows.length, maxLength], 'int32'),
      ys: tf.tensor3d(labels, [rows.length, maxLength, 1], 'int32'),
    };
  }

  private async *rows(): AsyncGenerator<Row> {
    const {packing} = this.options;
    const {packer} = this;
    if (packing) yield* fullRows(packer);
    for await (const record of this.records()) {
      this.drawn++;
      const example = this.encode(record);
      if (example === null) continue;
      if (packing) {
        this.report.used++;
        packer.add(example);
        yield* fullRows(packer);
      } else {
        const row = this.padded(record.line, example);
        if (row) yield row;
      }
    }
    const last = packing ? packer.end(this.padId) : null;
    if (last) yield last;
  }

  /** The examples of the file that have not been drawn before, in the order of this pass. */
  private async *records(): AsyncGenerator<RawRecord> {
    const {shuffle, shuffleBuffer, seed} = this.options;
    const random = createRandom((seed + this.from.epoch) % 2 ** 32);
    const all = this.selected();
    let index = 0;
    for await (const record of shuffle ? shuffled(all, shuffleBuffer, random) : all) {
      if (index++ >= this.from.drawn) yield record;
    }
  }

  private async *selected(): AsyncGenerator<RawRecord> {
    const file = await openDataFile(this.owner, this.source);
    const {fields, select, limit} = this.options;
    try {
      let [index, selected] = [0, 0];
      for await (const record of readRecords(this.owner, chunksOf(file), fields)) {
        if (!select(index++)) {
          this.leftOut++;
          continue;
        }
        yield record;
        if (++selected === limit) break;
      }
    } finally {
      await file.close();
    }
  }

  /** @throws ExampleError if it cannot be read. */
  private read(record: RawRecord): Example {
    const {format, fields} = this.options;
    const {hasChatTemplate} = this.tokenizer;
    return readExample(parseRecord(record), {format, fields, hasChatTemplate});
  }

  /** Null if the example is dropped. */
  private encode(record: RawRecord): EncodedExample | null {
    const {line} = record;
    let encoded: EncodedExample;
    try {
      const {learnPrompts, packing, maxLength} = this.options;
      // a row, the label of its last token, and one more, which tells that the example is cut
      const max = packing ? Infinity : maxLength + 2;
      encoded = encodeExample(this.read(record), this.tokenizer, learnPrompts, max);
    } catch (error) {
      this.drop(line, error as Error);
      return null;
    }
    checkVocabulary(`${this.owner}: line ${line}`, encoded.ids, this.tokenizer, this.vocabSize);
    return encoded;
  }

  private padded(line: number, example: EncodedExample): Row | null {
    const {maxLength} = this.options;
    const {ids, isLearned, isCut} = example;
    const row = paddedRow(example, maxLength, this.padId);
    if (row === null) {
      const first = isLearned.indexOf(true, 1);
      const prompt = first > 0 ? `${first}` : `more than ${maxLength + 1}`;
      const error =
        first > 0 || isCut
          ? new ExampleError(
              `its prompt leaves no room for the answer in maxLength ${maxLength}`,
              `; it has ${prompt} tokens`,
            )
          : new ExampleError('it has too few tokens to learn from');
      this.drop(line, error);
      return null;
    }
    this.report.used++;
    if (ids.length > maxLength + 1) {
      const count = isCut ? `more than ${maxLength + 1}` : `${ids.length}`;
      const what = `it does not fit in maxLength ${maxLength}`;
      addProblem(this.report, line, 'cut', new ExampleError(what, `; it has ${count} tokens`));
    }
    return row;
  }

  private drop(line: number, error: Error): void {
    if (this.options.invalid === 'throw') {
      throw new Error(`${this.owner}: line ${line}: ${error.message}`, {cause: error});
    }
    addProblem(this.report, line, 'dropped', error);
    const {used, dropped} = this.report;
    if (used === 0 && dropped === MAX_UNUSABLE) throw this.nothingUsed();
  }

  private nothingUsed(): Error {
    const {dropped, problems} = this.report;
    const besides = this.leftOut > 0 ? ` beside ${this.leftOut} held out; give more` : '';
    if (dropped === 0) return new Error(`${this.owner} has no examples${besides}`);
    const what =
      dropped === MAX_UNUSABLE
        ? `: none of ${dropped} examples can be used, and no more were tried`
        : ' has no example that can be used';
    const worst = worstFirst(problems).map(problemText);
    const others = worst.length > SHOWN_PROBLEMS ? '; …' : '';
    return new Error(`${this.owner}${what}: ${worst.slice(0, SHOWN_PROBLEMS).join('; ')}${others}`);
  }
}

function* fullRows(packer: Packer): Generator<Row> {
  for (let row = packer.take(); row; row = packer.take()) yield row;
}
