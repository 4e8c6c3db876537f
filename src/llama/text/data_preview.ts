/** What a file of examples looks like, by its beginning: for people, before all of it is read. */
import {isObject} from '../../files/json';
import {chunksOf, nameOf, openDataFile, type DataSource} from './data_file';
import {HEAD_BYTES, recogniseData, type DataFormat} from './data_format';
import {describeFields, fieldsOf, type ExampleFields, type ReadOptions} from './formats';
import {parseRecord, readRecords} from './records';

/** What a file is, and where its first example has what. */
export interface DataDescription {
  format: DataFormat;
  /** Null if there is none among the first examples. */
  fields: ExampleFields | null;
}

/** Examples that are looked at. */
const MAX_TRIED = 100;

/**
 * Looks at the beginning of a file.
 *
 * @throws if there is none, or it is of another kind.
 */
export async function describeData(
  owner: string,
  source: DataSource,
  options: ReadOptions,
): Promise<DataDescription> {
  const name = `${owner}: ${nameOf(source)}`;
  const file = await openDataFile(owner, source);
  try {
    const head = await file.read(0, Math.min(file.size, HEAD_BYTES));
    const format = recogniseData(name, head, options.fields);
    let tried = 0;
    for await (const record of readRecords(name, chunksOf(file), options.fields)) {
      if (tried++ === MAX_TRIED) break;
      try {
        const value = parseRecord(record);
        if (isObject(value)) return {format, fields: fieldsOf(Object.keys(value), options)};
      } catch {
        // told with the problems of all examples
      }
    }
    return {format, fields: null};
  } finally {
    await file.close();
  }
}

/** `csv, 400 examples; prompt is 'question', answer is 'answer', as chat turns`. */
export function descriptionText(
  {format, fields}: DataDescription,
  examples: string,
  hasChatTemplate: boolean,
): string {
  if (format.format === 'text') return `plain text, ${examples}, each a ${format.sampleBy}`;
  const what = {
    jsonl: 'jsonl',
    json: 'a json array',
    csv: 'delimiter' in format && format.delimiter === ';' ? 'csv with semicolons' : 'csv',
    tsv: 'tsv',
  }[format.format];
  return `${what}, ${examples}${fields ? `; ${describeFields(fields, hasChatTemplate)}` : ''}`;
}
