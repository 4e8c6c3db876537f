import {display} from '../../common/options';
import {isObject, show} from '../../files/json';
import type {ChatMessage} from './chat_template';
import {ExampleError} from './example_error';

/**
 * What an example is: `'text'`: `{text}`; `'chat'`: `{messages}` or `{conversations}`; `'alpaca'`: `{instruction, input?, output}`;
 * `'prompt-completion'`: `{prompt, completion}`, or other names of the two; `'auto'`: whichever of these fields it has.
 */
export type ExampleFormat = 'auto' | 'text' | 'alpaca' | 'prompt-completion' | 'chat';

export const EXAMPLE_FORMATS = ['auto', 'text', 'alpaca', 'prompt-completion', 'chat'] as const;

/** Which fields of an example hold what, by their names in the file. */
export interface FieldNames {
  /** A text, all of which is learned. */
  text?: string;
  /** A chat. */
  messages?: string;
  /** What is asked; needs `answer`. */
  prompt?: string;
  answer?: string;
  /** What a system message says, beside `messages` or `prompt`. */
  system?: string;
}

const FIELD_ROLES = ['text', 'messages', 'prompt', 'answer', 'system'] as const;

/** An example by its fields. */
export type Example =
  | {format: 'text'; text: string}
  | {format: 'prompt-completion'; prompt: string; answer: string}
  /** `from`: the first message that may be learned; default 0. */
  | {format: 'chat'; messages: ChatMessage[]; from?: number};

/** How examples are read. */
export interface ReadOptions {
  format: ExampleFormat;
  /** Default null: by their usual names. */
  fields?: FieldNames | null;
  /** Whether a prompt and its answer become turns of a chat; default false. */
  hasChatTemplate?: boolean;
}

/** The fields in which an example is, by their names in the file. */
export type ExampleFields =
  | {format: 'text'; text: string}
  | {format: 'alpaca'; instruction: string; input?: string; output: string}
  | {format: 'prompt-completion'; prompt: string; answer: string; context?: string; system?: string}
  | {format: 'chat'; messages: string; system?: string};

/** The usual names. A file that has several of a kind means the first. */
const CHATS = ['messages', 'conversations'];
const PROMPTS = ['prompt', 'question', 'instruction'];
const ANSWERS = ['completion', 'response', 'answer', 'output'];
/** What a prompt is about, in Dolly's and in Alpaca's manner. */
const CONTEXTS = ['context', 'input'];

/** ShareGPT's names of the roles; others are those of the template. */
const ROLES: Readonly<Record<string, string>> = {
  human: 'user',
  gpt: 'assistant',
  chatgpt: 'assistant',
  bing: 'assistant',
  bard: 'assistant',
  model: 'assistant',
};

/** Throws unless a value names fields that go together. */
export function checkFields(owner: string, option: string, value: unknown): void {
  if (!isObject(value)) {
    throw new Error(
      `${owner}: ${option} must name fields, such as prompt=question,answer=answer; got ${display(value)}`,
    );
  }
  const given = Object.entries(value);
  const unknown = Object.keys(value).find((role) => !FIELD_ROLES.some((known) => known === role));
  if (unknown !== undefined) {
    throw new Error(
      `${owner}: ${option} must say which field of the file is text, messages, prompt, answer or system, such as ` +
        `prompt=question,answer=answer; got ${display(unknown)}`,
    );
  }
  const wrong = given.find(([, name]) => typeof name !== 'string' || name === '');
  if (wrong) {
    throw new Error(`${owner}: ${option}: ${wrong[0]} must be a name; got ${display(wrong[1])}`);
  }
  const {text, messages, prompt, answer, system} = value as FieldNames;
  const kinds = [text, messages, prompt ?? answer].filter((name) => name !== undefined);
  const isPair = (prompt === undefined) === (answer === undefined);
  if (kinds.length === 1 && isPair && (text === undefined || system === undefined)) return;
  throw new Error(
    `${owner}: ${option} must name either text, or messages, or prompt and answer, and may name system beside the latter two; ` +
      `got ${given.map(([role]) => role).join(', ') || 'none'}`,
  );
}

/** `prompt=question,answer=answer`. */
export function fieldsText(fields: FieldNames): string {
  return Object.entries(fields)
    .map(([role, name]) => `${role}=${String(name)}`)
    .join(',');
}

/** Whether an example may have something in a field of this name. */
export function isExampleField(name: string, fields: FieldNames | null): boolean {
  const usual = [...CHATS, ...PROMPTS, ...ANSWERS];
  return (fields ? Object.values<string>(fields as Record<string, string>) : usual).includes(name);
}

/** Whether something with these names can be an example. */
export function hasExampleFields(names: readonly string[], fields: FieldNames | null): boolean {
  try {
    return fieldsOf(names, {format: 'auto', fields}) !== null;
  } catch {
    return false;
  }
}

/**
 * Finds the fields of an example among the names that it has.
 *
 * @throws if they are not there.
 */
export function fieldsOf(
  names: readonly string[],
  {format, fields = null}: ReadOptions,
): ExampleFields {
  const find = (...usual: readonly string[]): string | undefined => {
    for (const name of usual) {
      const found = names.includes(name)
        ? name
        : names.find((each) => each.trim().toLowerCase() === name);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  if (fields !== null) return givenFields(names, fields);
  const [messages, text] = [find(...CHATS), find('text')];
  const [instruction, output] = [find('instruction'), find('output')];
  const [prompt, answer] = [find(...PROMPTS), find(...ANSWERS)];
  const [context, input, system] = [find(...CONTEXTS), find('input'), find('system')];
  const isAlpaca =
    instruction !== undefined
      ? output !== undefined || answer === undefined
      : output !== undefined && prompt === undefined;
  const is = (kind: ExampleFormat, isThere: boolean): boolean =>
    format === kind || (format === 'auto' && isThere);
  if (is('chat', messages !== undefined)) {
    return {format: 'chat', messages: messages ?? 'messages', ...(system && {system})};
  }
  if (is('alpaca', isAlpaca)) {
    return {
      format: 'alpaca',
      instruction: instruction ?? 'instruction',
      ...(input && {input}),
      output: output ?? 'output',
    };
  }
  if (is('prompt-completion', prompt !== undefined && answer !== undefined)) {
    return {
      format: 'prompt-completion',
      prompt: prompt ?? 'prompt',
      answer: answer ?? 'completion',
      ...(context && {context}),
      ...(system && {system}),
    };
  }
  if (is('text', text !== undefined)) return {format: 'text', text: text ?? 'text'};
  throw new ExampleError(
    "an example needs 'text', 'messages', 'conversations', or a prompt " +
      `(${listed(PROMPTS)}) and an answer (${listed(ANSWERS)}); the option \`fields\` takes other names`,
    `; it has ${names.slice(0, 10).join(', ') || 'no fields'}`,
  );
}

function listed(names: readonly string[]): string {
  return names.map((name) => `'${name}'`).join(', ');
}

function givenFields(names: readonly string[], fields: FieldNames): ExampleFields {
  const {text, messages, prompt, answer, system} = fields;
  const missing = [text, messages, prompt, answer].find(
    (name) => name !== undefined && !names.includes(name),
  );
  if (missing !== undefined) {
    const has = names.slice(0, 10).join(', ') || 'no fields';
    throw new ExampleError(`there is no field '${missing}'`, `; it has ${has}`);
  }
  if (text !== undefined) return {format: 'text', text};
  if (messages !== undefined) return {format: 'chat', messages, ...(system && {system})};
  return {
    format: 'prompt-completion',
    prompt: prompt!,
    answer: answer!,
    ...(system && {system}),
  };
}

/** The fields of an example in words: `prompt is 'question', answer is 'answer', as chat turns`. */
export function describeFields(fields: ExampleFields, hasChatTemplate: boolean): string {
  const {format, ...names} = fields;
  const found = Object.entries(names).map(
    ([role, name]) => `${role === 'messages' ? 'chat' : role} is '${name}'`,
  );
  const asWhat = {
    text: '',
    chat: '',
    alpaca: ", with Alpaca's prompt",
    'prompt-completion': hasChatTemplate
      ? ', as chat turns'
      : ', as text: the tokenizer has no chat template',
  };
  return found.join(', ') + asWhat[format];
}

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
export function readExample(value: unknown, options: ReadOptions): Example {
  if (!isObject(value)) {
    throw new ExampleError('an example must be an object', `; got ${show(value)}`);
  }
  const fields = fieldsOf(Object.keys(value), options);
  switch (fields.format) {
    case 'text':
      return {format: 'text', text: textField(value, fields.text)};
    case 'alpaca': {
      const instruction = textField(value, fields.instruction);
      const input = optionalField(value, fields.input);
      const answer = textField(value, fields.output);
      return {format: 'prompt-completion', prompt: alpacaPrompt(instruction, input), answer};
    }
    case 'prompt-completion':
      return readPair(value, fields, options);
    case 'chat':
      return {format: 'chat', messages: withSystem(value, fields)};
  }
}

/** A prompt and its answer: two messages where there is a chat template, or one text. Both may be lists of messages, as in TRL. */
function readPair(
  value: Record<string, unknown>,
  fields: Extract<ExampleFields, {format: 'prompt-completion'}>,
  {hasChatTemplate = false}: ReadOptions,
): Example {
  if (Array.isArray(value[fields.prompt])) {
    const before = withSystem(value, {...fields, messages: fields.prompt});
    const messages = [...before, ...readMessages(value[fields.answer], fields.answer)];
    return {format: 'chat', messages, from: before.length};
  }
  const context = optionalField(value, fields.context);
  const asked = textField(value, fields.prompt);
  const prompt = context === '' ? asked : `${asked}\n${context}`;
  const answer = textField(value, fields.answer);
  const system = optionalField(value, fields.system);
  if (hasChatTemplate) {
    const messages = [
      ...(system === '' ? [] : [{role: 'system', content: system}]),
      {role: 'user', content: prompt},
      {role: 'assistant', content: answer},
    ];
    return {format: 'chat', messages};
  }
  const text = system === '' ? prompt : `${system}\n${prompt}`;
  const isApart = /\s$/.test(text) || /^\s/.test(answer);
  return {format: 'prompt-completion', prompt: isApart ? text : `${text}\n`, answer};
}

/** The messages of a chat, after what stands in a field of its own for the system, unless they begin with such a message. */
function withSystem(
  value: Record<string, unknown>,
  {messages: name, system: systemName}: {messages: string; system?: string},
): ChatMessage[] {
  const messages = readMessages(value[name], name);
  const system = optionalField(value, systemName);
  if (system === '' || messages[0]!.role === 'system') return messages;
  return [{role: 'system', content: system}, ...messages];
}

function textField(record: Record<string, unknown>, name: string): string {
  const value = record[name];
  if (value === undefined) throw new ExampleError(`there is no field '${name}'`);
  checkText(name, value);
  if (value.trim() === '') throw new ExampleError(`'${name}' is empty`);
  return value;
}

/** An empty text if there is no such field. */
function optionalField(record: Record<string, unknown>, name: string | undefined): string {
  const value = name === undefined ? null : record[name];
  if (value === undefined || value === null) return '';
  checkText(name!, value);
  return value;
}

function checkText(name: string, value: unknown): asserts value is string {
  if (typeof value === 'string') return;
  throw new ExampleError(`'${name}' must be a text`, `; got ${show(value)}`);
}

/**
 * Messages, by `role` and `content`, or by ShareGPT's `from` and `value`.
 *
 * @param name The field in which they are.
 * @throws unless it is a list of messages.
 */
export function readMessages(value: unknown, name = 'messages'): ChatMessage[] {
  if (value === undefined) throw new ExampleError(`there is no field '${name}'`);
  if (!Array.isArray(value) || value.length === 0) {
    throw new ExampleError(`'${name}' must be a list of messages`, `; got ${show(value)}`);
  }
  return value.map((message: unknown, i) => {
    const {from, value, ...others} = (message ?? {}) as Record<string, unknown>;
    const {role = from, content = value} = others;
    if (typeof role !== 'string' || typeof content !== 'string') {
      throw new ExampleError(
        "a message must have 'role' and 'content', or 'from' and 'value', all texts",
        `; message ${i + 1} is ${show(message)}`,
      );
    }
    return {...others, role: Object.hasOwn(ROLES, role) ? ROLES[role]! : role, content};
  });
}
