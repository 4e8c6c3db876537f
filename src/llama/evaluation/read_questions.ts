import {isObject, show} from '../../files/json';
import type {SourceFile} from '../../files/source';
import {csvRows} from '../text/csv_records';
import {chunksOf, fileNameOf, nameOf, openDataFile, type DataSource} from '../text/data_file';
import {parseRecord, readRecords} from '../text/records';

type Fields = Record<string, unknown>;

/** The fields of a row of a csv file with this name. */
export type RowFields = (row: readonly string[], fileName: string) => Fields;

/**
 * The questions of a file, which may be of any kind that examples are read from, or, with `rowFields`, of a file without a header whose
 * name ends in `.csv`.
 *
 * @param limit The most questions to read.
 * @param read Makes a question from the fields of a line; its errors are thrown with the line's number.
 * @throws if there is no question, or one cannot be read: a score over the rest would be a different score.
 */
export async function readQuestions<T>(
  owner: string,
  source: DataSource,
  limit: number,
  read: (fields: Fields) => T,
  rowFields?: RowFields,
): Promise<T[]> {
  const name = `${owner}: ${nameOf(source)}`;
  const fileName = fileNameOf(source);
  const questions: T[] = [];
  const file = await openDataFile(name, source);
  try {
    const entries =
      rowFields && /\.csv$/i.test(fileName)
        ? rowEntries(name, file, (row) => rowFields(row, fileName))
        : recordEntries(name, file);
    for await (const {line, fields} of entries) {
      if (questions.length === limit) break;
      try {
        questions.push(read(fields()));
      } catch (error) {
        throw new Error(`${name}: line ${line}: ${(error as Error).message}`, {cause: error});
      }
    }
  } finally {
    await file.close();
  }
  if (questions.length === 0 && limit > 0) throw new Error(`${name} has no questions`);
  return questions;
}

/**
 * The first `shots` examples of a file, as {@link readQuestions} reads them.
 *
 * @throws if there is no file although `shots` is above 0, or it has fewer examples.
 */
export async function readShots<T>(
  owner: string,
  source: DataSource | undefined,
  shots: number,
  read: (fields: Fields) => T,
  rowFields?: RowFields,
): Promise<T[]> {
  if (shots === 0) return [];
  if (source === undefined) throw new Error(`${owner}: shots ${shots} needs shotsFrom, a file`);
  const examples = await readQuestions(owner, source, shots, read, rowFields);
  if (examples.length === shots) return examples;
  throw new Error(
    `${owner}: shots is ${shots}, but shotsFrom has only ${examples.length} examples`,
  );
}

/** What a question is made from; `fields` throws if the line has none. */
interface Entry {
  line: number;
  fields: () => Fields;
}

async function* recordEntries(name: string, file: SourceFile): AsyncGenerator<Entry> {
  for await (const record of readRecords(name, chunksOf(file))) {
    const fields = (): Fields => {
      const value = parseRecord(record);
      if (isObject(value)) return value;
      throw new Error(`a question must be an object; got ${show(value)}`);
    };
    yield {line: record.line, fields};
  }
}

async function* rowEntries(
  name: string,
  file: SourceFile,
  rowFields: (row: readonly string[]) => Fields,
): AsyncGenerator<Entry> {
  for await (const {line, fields} of csvRows(name, chunksOf(file))) {
    yield {line, fields: () => rowFields(fields())};
  }
}
