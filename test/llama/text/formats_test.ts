import {expect} from 'chai';
import {
  alpacaPrompt,
  checkFields,
  describeFields,
  fieldsOf,
  readExample,
  type ExampleFormat,
  type FieldNames,
  type ReadOptions,
} from '../../../src/llama/text/formats';

const read = (value: unknown, options: Partial<ReadOptions> = {}) =>
  readExample(value, {format: 'auto', ...options});

describe('readExample', () => {
  it('finds the format by the fields', () => {
    expect(read({text: 'a'})).to.deep.equal({format: 'text', text: 'a'});
    const alpaca = {instruction: 'a', input: '', output: 'b', text: 'both', answer: 'c'};
    expect(read(alpaca)).to.deep.equal({
      format: 'prompt-completion',
      prompt: alpacaPrompt('a'),
      answer: 'b',
    });
    expect(read(alpaca, {format: 'text'})).to.deep.equal({format: 'text', text: 'both'});
    const messages = [{role: 'user', content: ''}];
    expect(read({messages})).to.deep.equal({format: 'chat', messages});
  });

  const chat = [
    {role: 'system', content: 'be kind'},
    {role: 'user', content: 'a'},
    {role: 'assistant', content: 'b'},
  ];

  it("takes ShareGPT's conversations for a chat", () => {
    const value = (from: string, value: string) => ({from, value});
    for (const conversations of [
      [value('system', 'be kind'), value('human', 'a'), value('gpt', 'b')],
      [value('system', 'be kind'), value('user', 'a'), value('chatgpt', 'b')],
      chat,
    ]) {
      expect(read({conversations})).to.deep.equal({format: 'chat', messages: chat});
      const [, ...others] = conversations;
      expect(read({system: 'be kind', conversations: others})).to.deep.equal({
        format: 'chat',
        messages: chat,
      });
    }
    // messages that begin with one of their own keep it
    expect(read({system: 'be rude', messages: chat})).to.deep.equal({
      format: 'chat',
      messages: chat,
    });
    const tool = [{from: 'tool', value: '5', name: 'sum'}];
    expect(read({conversations: tool})).to.deep.equal({
      format: 'chat',
      messages: [{role: 'tool', content: '5', name: 'sum'}],
    });
  });

  for (const [names, value] of [
    ['TRL', {prompt: 'a', completion: 'b', text: 'c'}],
    ['GSM8K', {question: 'a', answer: 'b'}],
    ['UltraFeedback', {prompt: 'a', response: 'b'}],
    ['OpenOrca', {question: 'a', response: 'b'}],
    ['a spreadsheet', {' Question': 'a', ANSWER: 'b'}],
  ] as const) {
    it(`takes the prompt and the answer of ${names}`, () => {
      expect(read(value, {hasChatTemplate: true})).to.deep.equal({
        format: 'chat',
        messages: chat.slice(1),
      });
      expect(read(value)).to.deep.equal({format: 'prompt-completion', prompt: 'a\n', answer: 'b'});
    });
  }

  it('has nothing between prompt and answer where there is white space', () => {
    const textOf = (prompt: string, completion: string): string => {
      const example = read({prompt, completion}) as {prompt: string; answer: string};
      expect(example.answer).to.equal(completion);
      return example.prompt + example.answer;
    };
    expect(textOf('a ', 'b')).to.equal('a b');
    expect(textOf('a', ' b')).to.equal('a b');
    expect(textOf('a\n', 'b')).to.equal('a\nb');
    expect(textOf('a', 'b')).to.equal('a\nb');
  });

  it("puts Dolly's context below the instruction, and a system text above it", () => {
    const value = {instruction: 'a', context: 'c', response: 'b', system: 'be kind'};
    expect(read(value)).to.deep.equal({
      format: 'prompt-completion',
      prompt: 'be kind\na\nc\n',
      answer: 'b',
    });
    expect(read({...value, context: ''}, {hasChatTemplate: true})).to.deep.equal({
      format: 'chat',
      messages: chat,
    });
  });

  it("takes TRL's lists of messages, of which the completion is learned", () => {
    const [system, user, assistant] = chat;
    expect(read({prompt: [system, user], completion: [assistant]})).to.deep.equal({
      format: 'chat',
      messages: chat,
      from: 2,
    });
    expect(() => read({prompt: [user], completion: 'b'})).to.throw(
      '\'completion\' must be a list of messages; got "b"',
    );
  });

  it('takes fields by the names that are given', () => {
    const value = {frage: 'a', antwort: 'b', text: 'c', rolle: 'be kind', constructor_: 'd'};
    const pair = {prompt: 'frage', answer: 'antwort'};
    const options = {hasChatTemplate: true};
    expect(read(value, {...options, fields: {...pair, system: 'rolle'}})).to.deep.equal({
      format: 'chat',
      messages: chat,
    });
    expect(read(value, {fields: {text: 'frage'}})).to.deep.equal({format: 'text', text: 'a'});
    expect(read({gespräch: chat}, {fields: {messages: 'gespräch'}})).to.deep.equal({
      format: 'chat',
      messages: chat,
    });
    expect(() => read({text: 'a', antwort: 'b'}, {fields: pair})).to.throw(
      "there is no field 'frage'; it has text, antwort",
    );
    expect(() => read({}, {fields: {text: 'constructor'}})).to.throw(
      "there is no field 'constructor'; it has no fields",
    );
  });

  const bad: Array<[unknown, ExampleFormat, string]> = [
    [[], 'auto', 'an example must be an object; got []'],
    [null, 'auto', 'an example must be an object; got null'],
    ['text', 'auto', 'an example must be an object; got "text"'],
    [
      {},
      'auto',
      "an example needs 'text', 'messages', 'conversations', or a prompt ('prompt', 'question', 'instruction') and an answer " +
        "('completion', 'response', 'answer', 'output'); the option `fields` takes other names; it has no fields",
    ],
    [{prompt: 'a', completion: 5}, 'auto', "'completion' must be a text; got 5"],
    [{question: 'a', answer: ' '}, 'auto', "'answer' is empty"],
    [{question: 'a'}, 'prompt-completion', "there is no field 'completion'"],
    [{text: 5}, 'auto', "'text' must be a text; got 5"],
    [{text: ' \n'}, 'auto', "'text' is empty"],
    [{text: 'a'}, 'alpaca', "there is no field 'instruction'"],
    [{instruction: 'a'}, 'auto', "there is no field 'output'"],
    [{instruction: 'a', output: 'b', input: 1}, 'auto', "'input' must be a text; got 1"],
    [{instruction: 'a', output: ''}, 'auto', "'output' is empty"],
    [{text: 'a'}, 'chat', "there is no field 'messages'"],
    [{messages: []}, 'auto', "'messages' must be a list of messages; got []"],
    [{messages: 'hi'}, 'auto', `'messages' must be a list of messages; got "hi"`],
    [
      {messages: [{role: 'user', content: 'a'}, {role: 'user'}]},
      'auto',
      `a message must have 'role' and 'content', or 'from' and 'value', all texts; message 2 is {"role":"user"}`,
    ],
    [
      {messages: [null]},
      'auto',
      "a message must have 'role' and 'content', or 'from' and 'value', all texts; message 1 is null",
    ],
  ];
  for (const [value, format, message] of bad) {
    it(`refuses ${JSON.stringify(value)} as ${format}`, () => {
      expect(() => read(value, {format}))
        .to.throw(Error)
        .with.property('message', message);
    });
  }
});

describe('checkFields', () => {
  it('takes names of fields that go together', () => {
    const pair = {prompt: 'a', answer: 'b'};
    for (const fields of [{text: 'a'}, {messages: 'a', system: 'b'}, {...pair, system: 'c'}, pair])
      checkFields('test', 'fields', fields);
  });

  for (const [fields, message] of [
    ['prompt', "fields must name fields, such as prompt=question,answer=answer; got 'prompt'"],
    [{}, 'fields must name either text, or messages, or prompt and answer, .*; got none'],
    [{prompt: 'a'}, 'fields must name either .*; got prompt'],
    [{answer: 'a'}, 'fields must name either .*; got answer'],
    [{text: 'a', system: 'b'}, 'fields must name either .*; got text, system'],
    [{text: 'a', messages: 'b'}, 'fields must name either .*; got text, messages'],
    [{text: ''}, "fields: text must be a name; got ''"],
    [{text: 5}, 'fields: text must be a name; got 5'],
    [{promt: 'a'}, "fields must say which field of the file is text, .*; got 'promt'"],
  ] as Array<[unknown, string]>) {
    it(`refuses ${JSON.stringify(fields)}`, () => {
      expect(() => checkFields('test', 'fields', fields)).to.throw(new RegExp(`^test: ${message}`));
    });
  }
});

describe('describeFields', () => {
  for (const [names, fields, template, expected] of [
    [['question', 'answer'], null, true, "prompt is 'question', answer is 'answer', as chat turns"],
    [
      ['Frage', 'Antwort'],
      {prompt: 'Frage', answer: 'Antwort'},
      false,
      "prompt is 'Frage', answer is 'Antwort', as text: the tokenizer has no chat template",
    ],
    [['conversations', 'id'], null, true, "chat is 'conversations'"],
    [
      ['instruction', 'output'],
      null,
      true,
      "instruction is 'instruction', output is 'output', with Alpaca's prompt",
    ],
    [['id', 'Text'], null, true, "text is 'Text'"],
  ] as Array<[string[], FieldNames | null, boolean, string]>) {
    it(`says of ${names.join(', ')} what they are`, () => {
      expect(describeFields(fieldsOf(names, {format: 'auto', fields}), template)).to.equal(
        expected,
      );
    });
  }
});
