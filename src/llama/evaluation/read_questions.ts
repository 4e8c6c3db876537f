import {isObject, show} from '../files/json';
import {chunksOf, nameOf, openDataFile, type DataSource} from '../text/data_file';
import {parseRecord, readRecords} from '../text/records';

/**
 * The questions of a `jsonl` or `json` file.
 *
 * @param limit No more than so many.
 * @param read From the fields of a line to a question; what it throws is thrown with the line's number.
 * @throws if there is none, or one that cannot be read: a score over the rest would be another one.
 */
export async function readQuestions<T>(
  owner: string,
  source: DataSource,
  limit: number,
  read: (fields: Record<string, unknown>) => T,
): Promise<T[]> {
  const name = `${owner}: ${nameOf(source)}`;
  const questions: T[] = [];
  const file = await openDataFile(name, source);
  try {
    for await (const {line, bytes} of readRecords(name, chunksOf(file))) {
      if (questions.length === limit) break;
      try {
        const value = parseRecord(bytes);
        if (!isObject(value)) throw new Error(`a question must be an object; got ${show(value)}`);
        questions.push(read(value));
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
