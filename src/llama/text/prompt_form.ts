/** In which form a model is asked that learns from examples: as these ask. */
import {isObject, type JsonObject} from '../../files/json';
import {chunksOf, nameOf, openDataFile, type DataSource} from './data_file';
import {fieldsOf, readExample, type Example, type ReadOptions} from './formats';
import {parseRecord, readRecords} from './records';

/** The example in which a question, which is not blank, stands in the place of the prompt. */
export type PromptForm = (question: string) => Example;

/** Examples that are looked at. */
const MAX_TRIED = 100;

/**
 * The form of a file's prompts, by the first of its examples that can be read. What the prompt of that example is about, as its context
 * or input, is left out; its system message stays.
 *
 * @param owner The function that was called.
 * @returns null if that example is a text or a chat, which have no form of their own, or if there is none.
 * @throws if there is no such file, or it is not one of examples.
 */
export async function promptFormOf(
  owner: string,
  source: DataSource,
  options: ReadOptions,
): Promise<PromptForm | null> {
  const file = await openDataFile(owner, source);
  try {
    let tried = 0;
    for await (const record of readRecords(
      `${owner}: ${nameOf(source)}`,
      chunksOf(file),
      options.fields,
    )) {
      if (tried++ === MAX_TRIED) break;
      try {
        const value = parseRecord(record);
        readExample(value, options);
        if (isObject(value)) return formOf(value, options);
      } catch {
        // told with the problems of all examples
      }
    }
    return null;
  } finally {
    await file.close();
  }
}

/** The form of an example's prompt; null if it is a text or has messages. */
function formOf(example: JsonObject, options: ReadOptions): PromptForm | null {
  const fields = fieldsOf(Object.keys(example), options);
  if (fields.format === 'text' || fields.format === 'chat') return null;
  const [prompt, about] =
    fields.format === 'alpaca'
      ? [fields.instruction, fields.input]
      : [fields.prompt, fields.context];
  if (Array.isArray(example[prompt])) return null;
  const alone = {...example, ...(about !== undefined && {[about]: ''})};
  return (question) => readExample({...alone, [prompt]: question}, options);
}
