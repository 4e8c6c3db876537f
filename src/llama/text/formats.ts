import {show} from '../../files/json';
import type {ChatMessage} from './chat_template';

/**
 * What a line holds: `'text'`: `{text}`; `'alpaca'`: `{instruction, input?, output}`; `'chat'`:
 * `{messages: [{role, content}, …]}`; `'auto'`: whichever of these fields it has, line by line.
 */
export type ExampleFormat = 'auto' | 'text' | 'alpaca' | 'chat';

export const EXAMPLE_FORMATS = ['auto', 'text', 'alpaca', 'chat'] as const;

/** An example by its fields. */
export type Example =
  | {format: 'text'; text: string}
  | {format: 'alpaca'; prompt: string; answer: string}
  | {format: 'chat'; messages: ChatMessage[]};

/**
 * The prompt of an instruction, as Stanford Alpaca was trained with: `PROMPT_DICT` in `train.py` of
 * github.com/tatsu-lab/stanford_alpaca. The answer follows it at once.
 *
 * @param input What the instruction is about; default none.
 */
export function alpacaPrompt(instruction: string, input = ''): string {
  const [context, inputPart] =
    input === ''
      ? ['', '']
      : [', paired with an input that provides further context', `### Input:\n${input}\n\n`];
  return (
    `Below is an instruction that describes a task${context}. ` +
    'Write a response that appropriately completes the request.\n\n' +
    `### Instruction:\n${instruction}\n\n${inputPart}### Response:`
  );
}

/**
 * Takes an example apart.
 *
 * @throws if a field is missing or of the wrong type, with a message for the line's report.
 */
export function readExample(value: unknown, format: ExampleFormat): Example {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Error(`an example must be an object; got ${show(value)}`);
  }
  const record = value as Record<string, unknown>;
  switch (format === 'auto' ? formatOf(record) : format) {
    case 'text':
      return {format: 'text', text: textField(record, 'text')};
    case 'alpaca': {
      const instruction = textField(record, 'instruction');
      const input = record['input'] == null ? '' : textField(record, 'input', true);
      const answer = textField(record, 'output');
      return {format: 'alpaca', prompt: alpacaPrompt(instruction, input), answer};
    }
    case 'chat':
      return {format: 'chat', messages: readMessages(record['messages'])};
  }
}

/** The format of an example, by its fields. Files of the Alpaca format may also have the whole as `text`. */
function formatOf(record: Record<string, unknown>): Exclude<ExampleFormat, 'auto'> {
  if ('messages' in record) return 'chat';
  if ('instruction' in record || 'output' in record) return 'alpaca';
  if ('text' in record) return 'text';
  throw new Error(
    "an example needs 'text', 'messages', or 'instruction' and 'output'; it has " +
      (Object.keys(record).slice(0, 10).join(', ') || 'no fields'),
  );
}

function textField(record: Record<string, unknown>, name: string, mayBeEmpty = false): string {
  const value = record[name];
  if (value === undefined) throw new Error(`there is no field '${name}'`);
  if (typeof value !== 'string') throw new Error(`'${name}' must be a text; got ${show(value)}`);
  if (value.trim() === '' && !mayBeEmpty) throw new Error(`'${name}' is empty`);
  return value;
}

/** @throws unless it is a list of messages. */
export function readMessages(value: unknown): ChatMessage[] {
  if (value === undefined) throw new Error("there is no field 'messages'");
  if (!Array.isArray(value) || value.length === 0) {
    throw new Error(`'messages' must be a list of messages; got ${show(value)}`);
  }
  return value.map((message: unknown, i) => {
    const {role, content} = (message ?? {}) as Record<string, unknown>;
    if (typeof role !== 'string' || typeof content !== 'string') {
      throw new Error(
        `message ${i + 1} must have 'role' and 'content', both texts; got ${show(message)}`,
      );
    }
    return message as ChatMessage;
  });
}
