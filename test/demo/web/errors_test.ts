import {expect} from 'chai';
import {wordsOf} from '../../../demo/web/errors';
import {errorCodes} from '../../../src/worker/errors';
import {GIVE_TOKEN} from '../../../src/llama/hub/hub_request';
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
      'Check the name; give a token of yours. Check the name under “Model”; a token belongs there, too.',
    );
    const store = await RunStore.create('fineTuneInWorker', 'whales');
    await store.begin({model: 'a/b', data: {}}, 'a/b', {method: 'lora', steps: 1, scores: null}, () => undefined); // prettier-ignore
    const again = await rejection(RunStore.create('fineTuneInWorker', 'whales'));
    expect(wordsOf(again).text).to.match(/^There is a run 'whales' .* under “Earlier runs”/);
    expect(wordsOf(again).text).to.not.match(/InWorker|deleteRun/);
  });
});
