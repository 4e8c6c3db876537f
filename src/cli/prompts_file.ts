/** The file of `generate --prompts`. */
import {isObject, show} from '../files/json';
import type {ChatMessage} from '../llama/index';
import {chunksOf, openDataFile} from '../llama/text/data_file';
import {readMessages} from '../llama/text/formats';
import {parseRecord, readRecords} from '../llama/text/records';
import {UsageError} from './usage_error';

/** A line of the file. */
export interface PromptLine {
  /** From 1. */
  line: number;
  /** All that stands in it. */
  fields: Readonly<Record<string, unknown>>;
  prompt: string | readonly ChatMessage[];
}

/** What a result has beside the fields of its line. */
export const RESULT_FIELDS = [
  'text',
  'finishReason',
  'promptTokens',
  'newTokens',
  'seed',
] as const satisfies readonly string[];

/**
 * Reads all lines.
 *
 * @throws UsageError that names file and line, if one is not a prompt; or if there is none.
 */
export async function readPrompts(path: string): Promise<PromptLine[]> {
  const lines: PromptLine[] = [];
  const name = `generate: ${path}`;
  const file = await openDataFile('generate', path);
  try {
    for await (const record of readRecords(name, chunksOf(file))) {
      const {line} = record;
      try {
        lines.push({line, ...promptOf(parseRecord(record))});
      } catch (cause) {
        throw new UsageError(`${name}: line ${line}: ${(cause as Error).message}`, {cause});
      }
    }
  } catch (cause) {
    // what is no file of examples at all; not a disk that fails
    const {code} = cause as NodeJS.ErrnoException;
    const isUsage = code === undefined && !(cause instanceof UsageError);
    throw isUsage ? new UsageError((cause as Error).message, {cause}) : cause;
  } finally {
    await file.close();
  }
  if (lines.length === 0) throw new UsageError(`${name} has no prompts`);
  return lines;
}

function promptOf(fields: unknown): Omit<PromptLine, 'line'> {
  if (!isObject(fields)) throw new Error(`a line must be an object; got ${show(fields)}`);
  const {prompt, messages} = fields;
  if ((prompt === undefined) === (messages === undefined)) {
    const found = prompt === undefined ? `the fields ${show(Object.keys(fields))}` : 'both';
    throw new Error(`a line must have either 'prompt' or 'messages'; got ${found}`);
  }
  const taken = RESULT_FIELDS.find((name) => Object.hasOwn(fields, name));
  if (taken !== undefined) {
    throw new Error(`the result will have a field '${taken}'; give that of the line another name`);
  }
  if (messages !== undefined) return {fields, prompt: checkMessages(messages)};
  if (typeof prompt === 'string') return {fields, prompt};
  throw new Error(`'prompt' must be a text; got ${show(prompt)}`);
}

function checkMessages(value: unknown): readonly ChatMessage[] {
  const messages = readMessages(value);
  if (messages.at(-1)!.role === 'assistant') {
    throw new Error(
      "the last message is the assistant's, so nothing is left to answer; leave it out",
    );
  }
  return messages;
}
