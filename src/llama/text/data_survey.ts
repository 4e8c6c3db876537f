/** How long the examples of a file are, and what of them the loss counts: what `maxLength` should be, and what each costs. */
import type {ResolvedConfig} from '../config';
import {chunksOf, nameOf, openDataFile, type DataSource} from './data_file';
import {addProblem, emptyReport, type DatasetReport} from './dataset_report';
import {checkVocabulary, encodeExample} from './encode_example';
import {ExampleError} from './example_error';
import {readExample, type ExampleFormat, type FieldNames} from './formats';
import {parseRecord, readRecords} from './records';
import type {Tokenizer} from './tokenizer';

/** An example in its tokens. */
export interface TokenizedExample {
  /** The line in which it begins, from 1. */
  line: number;
  /** In which all tokens have the text that they add to those before. */
  tokens: Array<{id: number; text: string; isLearned: boolean}>;
}

/** The examples of a file, tokenized. */
export interface DataSurvey {
  /** The first ones that can be used, as far as a row may go. */
  shown: TokenizedExample[];
  /** Of each that can be used, how many tokens it has, and where the first stands that is learned. Without `packing` a longer one than the model takes ends there. */
  lengths: Array<{tokens: number; prompt: number}>;
  /** What is wrong with the others. */
  report: DatasetReport;
}

/** How a survey is made. */
export interface SurveyOptions {
  tokenizer: Tokenizer;
  config: ResolvedConfig;
  /** As of `textDataset`, like the next two. */
  fields?: FieldNames | null;
  format?: ExampleFormat | 'auto';
  learnPrompts?: boolean;
  /** Which examples, by their place in the file; default all. */
  select?: (index: number) => boolean;
  /** Whether all of an example counts, however long it is, as it goes on in the next row; default false. */
  packing?: boolean;
  /** How many of the first examples are kept; default 1. */
  show?: number;
  /** Called after each example with how many there were, and waited for. */
  onExample?: (count: number) => unknown;
  /** As of `chunksOf`. */
  onRead?: (bytes: number, size: number) => void;
}

/**
 * Reads and tokenizes the examples of a file, in its order.
 *
 * @throws if there is no such file, if it is not one of examples, or if a token is outside of the model's vocabulary.
 */
export async function surveyData(
  owner: string,
  source: DataSource,
  {
    tokenizer,
    config,
    fields = null,
    format = 'auto',
    learnPrompts = false,
    select = () => true,
    packing = false,
    show = 1,
    onExample,
    onRead,
  }: SurveyOptions,
): Promise<DataSurvey> {
  const name = `${owner}: ${nameOf(source)}`;
  const {hasChatTemplate} = tokenizer;
  const survey: DataSurvey = {shown: [], lengths: [], report: emptyReport(0)};
  const {report} = survey;
  // the longest row, the label of its last token, and one more, which tells that it is longer
  const longest = config.maxPositionEmbeddings + 2;
  const file = await openDataFile(owner, source);
  try {
    let index = 0;
    for await (const record of readRecords(name, chunksOf(file, onRead), fields)) {
      if (!select(index++)) continue;
      const {line} = record;
      let encoded;
      try {
        const example = readExample(parseRecord(record), {format, fields, hasChatTemplate});
        encoded = encodeExample(example, tokenizer, learnPrompts, packing ? Infinity : longest);
        if (!encoded.isLearned.includes(true, 1))
          throw new ExampleError('it has too few tokens to learn from');
      } catch (error) {
        addProblem(report, line, 'dropped', error as Error);
        continue;
      } finally {
        await onExample?.(report.used + report.dropped + 1);
      }
      const {ids, isLearned} = encoded;
      checkVocabulary(`${name}: line ${line}`, ids, tokenizer, config.vocabSize);
      report.used++;
      survey.lengths.push({tokens: ids.length, prompt: isLearned.indexOf(true, 1)});
      if (survey.shown.length === show) continue;
      const tokens = textsOf(ids.slice(0, longest), tokenizer).map((text, i) => ({
        ...{id: ids[i]!, text},
        isLearned: isLearned[i]!,
      }));
      survey.shown.push({line, tokens});
    }
  } finally {
    await file.close();
  }
  report.isComplete = true;
  return survey;
}

/** What each token adds to the text of those before; of a character of several tokens the last one adds it. */
function textsOf(ids: readonly number[], tokenizer: Tokenizer): string[] {
  let [from, known] = [0, 0];
  return ids.map((_, i) => {
    const before = tokenizer.decode(ids.slice(from, known));
    const text = tokenizer.decode(ids.slice(from, i + 1)).slice(before.length);
    if (text.endsWith('\ufffd') && i < ids.length - 1) return '';
    [from, known] = [known, i + 1];
    return text;
  });
}

/** What a `maxLength` does to examples. */
export interface LengthChoice {
  maxLength: number;
  /** Examples that lose their end. */
  cut: number;
  /** Examples that lose all that is to be learned, and are dropped. */
  dropped: number;
}

/** What becomes of the examples with a `maxLength`. The last token of a row is a label alone, so that one more fits. */
export function choiceOf({lengths}: DataSurvey, maxLength: number): LengthChoice {
  const dropped = lengths.filter(({prompt}) => prompt > maxLength).length;
  const longer = lengths.filter(({tokens}) => tokens > maxLength + 1).length;
  return {maxLength, cut: longer - dropped, dropped};
}

/** A row is as long as a multiple of so many tokens. */
const STEP = 16;
/** The part of the examples that may be longer: of the few longest the end is worth less than padding for all others costs. */
const LONGER = 0.01;

/** The `maxLength` to take: the smallest multiple of 16 that is too short for no more than 1 % of the examples, if the model takes it. */
export function bestMaxLength({lengths}: DataSurvey, positions: number): number {
  const sorted = lengths.map(({tokens}) => tokens).sort((a, b) => a - b);
  const longest = sorted[sorted.length - 1 - Math.floor(LONGER * sorted.length)] ?? positions;
  return Math.min(positions, STEP * Math.max(1, Math.ceil((longest - 1) / STEP)));
}
