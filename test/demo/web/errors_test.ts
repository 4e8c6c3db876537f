import {readFileSync} from 'node:fs';
import {expect} from 'chai';
import {inPageWords, isDiverged, limitsOf, wordsOf} from '../../../demo/web/errors';
import {errorCodes} from '../../../src/worker/errors';
import {readExample} from '../../../src/llama/text/formats';
import {GIVE_TOKEN} from '../../../src/llama/hub/hub_request';
import {estimateMemory} from '../../../src/memory/estimate';
import {codedError} from '../../../src/worker/failure';
import {RunStore} from '../../../src/worker/run_store';
import {useIndexedDb} from '../../support/indexed_db';
import {rejection} from '../../support/rejection';

describe('demo/web: errors', () => {
  useIndexedDb();

  const textOf = (code: string, message: string): string =>
    wordsOf(Object.assign(new Error(message), {code})).text;

  it('have a way out, which promises nothing that may not be there', () => {
    for (const code of errorCodes) {
      const way = textOf(code, 'x');
      if (code !== 'failed') expect(way.length, code).to.be.above(30);
      expect(way, code).to.match(/[.]$/);
      // before the first one there is none
      expect(way, code).to.not.include('checkpoint');
    }
  });

  it('speak of the form, and not of the options of a program', async () => {
    const refused = await codedError(new Error(`loadLlama: check the name; ${GIVE_TOKEN}`), 'refused'); // prettier-ignore
    expect(wordsOf(refused).text).to.equal(
      'Check the name; give a token of yours. Name and token stand under “Model”.',
    );
    const store = await RunStore.create('fineTuneInWorker', 'whales');
    await store.begin({model: 'a/b', data: {}}, 'a/b', {method: 'lora', steps: 1, scores: null}, () => undefined); // prettier-ignore
    const again = await rejection(RunStore.create('fineTuneInWorker', 'whales'));
    expect(wordsOf(again).text).to.match(/^There is a run 'whales' .* under “Earlier runs”/);
    expect(wordsOf(again).text).to.not.match(/InWorker|deleteRun/);
  });

  it('say what a setting may be with its model, and which one it is', async () => {
    const config = JSON.parse(readFileSync('demo/model/config.json', 'utf8')) as object;
    const error = await rejection(
      Promise.resolve().then(() => estimateMemory(config, {method: 'full', maxLength: 4096})),
    );
    expect(limitsOf(error)).to.eql({maxLength: 128});
    expect(wordsOf(error).text).to.equal('“Tokens in a row” can be 128 at most with this model.');
    expect(limitsOf(new Error('x: rank must be an integer >= 1 and <= 8; got 9'))).to.eql({});
  });

  it('of data name the field of the page that takes the names of their fields', () => {
    expect(() => readExample({ask: 'a', tell: 'b'}, {format: 'auto'}))
      .to.throw()
      .with.property('message')
      .that.satisfies((message: string) => {
        const text = textOf('wrong-file', `fineTuneInWorker: my.jsonl: line 1: ${message}`);
        expect(text).to.match(
          /; “Names of the fields” under “More settings” takes other names; it has ask, tell/,
        );
        expect(text).not.to.include('`');
        return true;
      });
  });

  it('of a training that has come to no numbers, and of a chat without a template, have a way out', () => {
    const diverged = new Error(
      "OwLoreOptimizer: the gradient of 'a' is NaN; no weight was changed. clipNorm may help",
    );
    expect(isDiverged(diverged)).to.equal(true);
    expect(wordsOf(diverged).details).to.include('clipNorm');
    expect(wordsOf(diverged).text)
      .to.include('A lower learning rate may help.')
      .and.not.include('clipNorm');
    expect(isDiverged(new Error('x is NaN'))).to.equal(false);
    const none = inPageWords(
      '60 dropped, the first in line 1: applyChatTemplate: the tokenizer has no chat template, neither in tokenizer_config.json nor as chat_template.jinja',
    );
    expect(none).to.equal(
      '60 dropped, the first in line 1: this model knows no chats; give it a template in “Chat template” under “More settings”, or questions and answers without turns',
    );
  });

  it('name a setting that stands in the form at once by its label alone', () => {
    expect(inPageWords('3 longer than maxLength 24: the rest is cut')).to.equal(
      '3 longer than “Tokens in a row” 24: the rest is cut',
    );
    expect(inPageWords('with the option `packing` all is')).to.equal(
      'with “Examples in a row” under “More settings” all is',
    );
  });

  it('of an option name its setting, and of a model’s name what one looks like', () => {
    expect(
      textOf(
        'bad-option',
        'fineTuneInWorker: maxLength must be an integer >= 1 and <= 128; got 100000',
      ),
    ).to.equal('“Tokens in a row” can be 128 at most with this model.');
    const name = textOf('bad-option', "fineTuneInWorker: model must be 'owner/name' of the Hugging Face Hub, or the http(s) URL of a folder; got 'foo'"); // prettier-ignore
    expect(name).to.match(/^A name of the Hub is as HuggingFaceTB\/SmolLM2-135M; got 'foo'\. /);
  });

  it('leave what is no setting of the page, and words of data, as they are', () => {
    for (const text of [
      'give a token by the option `token`',
      'it has maxLength, fields',
      '`fields`',
    ])
      expect(inPageWords(text)).to.equal(text);
  });
});
