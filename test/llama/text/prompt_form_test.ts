import {expect} from 'chai';
import {alpacaPrompt, type ReadOptions} from '../../../src/llama/text/formats';
import {promptFormOf, type PromptForm} from '../../../src/llama/text/prompt_form';

const formIn = (text: string, options: Partial<ReadOptions> = {}): Promise<PromptForm | null> =>
  promptFormOf('test', new Blob([text]), {format: 'auto', fields: null, ...options});

const promptIn = async (example: object, options: Partial<ReadOptions> = {}): Promise<unknown> => {
  const form = await formIn(`${JSON.stringify(example)}\n`, options);
  const asked = form!('Why?');
  return asked.format === 'prompt-completion' ? asked.prompt : asked;
};

describe('promptFormOf', () => {
  it('puts a question where the first example has its prompt', async () => {
    const alpaca = {instruction: 'Add.', input: '1 and 2', output: '3'};
    expect(await promptIn(alpaca)).to.equal(alpacaPrompt('Why?'));
    expect(await promptIn(alpaca, {hasChatTemplate: true})).to.equal(alpacaPrompt('Why?'));
    expect(await promptIn({question: 'Add 1.', answer: '2'})).to.equal('Why?\n');
    // the answer brings the blank that parts it
    expect(await promptIn({prompt: 'Add 1.', completion: ' 2'})).to.equal('Why?');
    expect(await promptIn({prompt: 'Add.', context: '1 and 2', response: '3'})).to.equal('Why?\n');
    expect(await promptIn({system: 'Add.', prompt: '1', answer: '2'})).to.equal('Add.\nWhy?\n');
    const fields = {prompt: 'frage', answer: 'antwort'};
    expect(await promptIn({frage: 'Wie?', antwort: 'So.'}, {fields})).to.equal('Why?\n');
  });

  it('asks in turns where there is a chat template', async () => {
    const asked = await promptIn(
      {system: 'Add.', prompt: '1', answer: '2'},
      {hasChatTemplate: true},
    );
    expect(asked).to.deep.equal({
      format: 'chat',
      messages: [
        {role: 'system', content: 'Add.'},
        {role: 'user', content: 'Why?'},
        {role: 'assistant', content: '2'},
      ],
    });
  });

  it('passes over what cannot be read, and takes a table', async () => {
    const form = await formIn(
      '{"prompt": ""}\nno JSON\n{"prompt": "a", "answer": "b"}\n{"text": "c"}\n',
    );
    expect(form!('d')).to.deep.include({prompt: 'd\n'});
    const table = await formIn('instruction,output\n"Say ""a"".",b\n');
    expect(table!('c')).to.deep.include({prompt: alpacaPrompt('c')});
  });

  it('knows none of texts and chats, and where there is no example', async () => {
    const message = {role: 'user', content: 'a'};
    for (const text of [
      'Call me Ishmael.\n',
      '{"text": "a"}\n{"prompt": "a", "answer": "b"}\n',
      `${JSON.stringify({messages: [message]})}\n`,
      `${JSON.stringify({prompt: [message], completion: [{role: 'assistant', content: 'b'}]})}\n`,
      '{"prompt": "a"}\n',
    ])
      expect(await formIn(text), text).to.equal(null);
  });
});
