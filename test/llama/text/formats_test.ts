import {expect} from 'chai';
import {alpacaPrompt} from '../../../src/llama/text/formats';
import {readExample, type ExampleFormat} from '../../../src/llama/text/formats';

describe('readExample', () => {
  it('finds the format by the fields', () => {
    expect(readExample({text: 'a'}, 'auto')).to.deep.equal({format: 'text', text: 'a'});
    const alpaca = {instruction: 'a', input: '', output: 'b', text: 'both'};
    expect(readExample(alpaca, 'auto')).to.deep.equal({
      format: 'alpaca',
      prompt: alpacaPrompt('a'),
      answer: 'b',
    });
    expect(readExample(alpaca, 'text')).to.deep.equal({format: 'text', text: 'both'});
    const messages = [{role: 'user', content: ''}];
    expect(readExample({messages}, 'auto')).to.deep.equal({format: 'chat', messages});
  });

  const bad: Array<[unknown, ExampleFormat, string]> = [
    [[], 'auto', 'an example must be an object; got []'],
    [null, 'auto', 'an example must be an object; got null'],
    ['text', 'auto', 'an example must be an object; got "text"'],
    [
      {},
      'auto',
      "an example needs 'text', 'messages', or 'instruction' and 'output'; it has no fields",
    ],
    [
      {prompt: 'a', completion: 'b'},
      'auto',
      "an example needs 'text', 'messages', or 'instruction' and 'output'; it has prompt, completion",
    ],
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
      `message 2 must have 'role' and 'content', both texts; got {"role":"user"}`,
    ],
    [{messages: [null]}, 'auto', "message 1 must have 'role' and 'content', both texts; got null"],
  ];
  for (const [value, format, message] of bad) {
    it(`refuses ${JSON.stringify(value)} as ${format}`, () => {
      expect(() => readExample(value, format))
        .to.throw(Error)
        .with.property('message', message);
    });
  }
});
