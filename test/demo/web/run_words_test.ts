import {expect} from 'chai';
import type {RunSummary} from '../../../src/worker/runs';

describe('demo/web: words for runs', () => {
  let words: typeof import('../../../demo/web/run_words');
  before(async () => {
    // where the built-in model is
    Object.assign(globalThis, {document: {baseURI: 'https://page.test/'}});
    words = await import('../../../demo/web/run_words');
  });
  after(() => Reflect.deleteProperty(globalThis, 'document'));

  const runOf = (state: RunSummary['state'], step = 18): RunSummary =>
    ({
      ...{state, step, steps: 1200, method: 'owlore'},
      ...{model: 'https://page.test/model/', data: 'moby-dick.txt'},
    }) as RunSummary;

  it('tell runs of the same model apart by their methods, as the form calls them', () => {
    const titles = ['owlore', 'lora', 'new'].map((method) =>
      words.titleOf({...runOf('done'), method}),
    );
    expect(titles).to.deep.equal([
      'OwLore: the built-in model on Moby-Dick',
      'LoRA: the built-in model on Moby-Dick',
      'new: the built-in model on Moby-Dick',
    ]);
  });

  it('offer one that waits or was broken off, and not one that was stopped on purpose', () => {
    const of = 'the built-in model on Moby-Dick.';
    expect(words.waitingText(runOf('paused'))).to.equal(`A run is paused after step 18 of 1,200: ${of}`); // prettier-ignore
    expect(words.waitingText(runOf('paused', 0))).to.equal(`A run is paused before the first step of 1,200: ${of}`); // prettier-ignore
    expect(words.waitingText(runOf('interrupted'))).to.match(/^A run was broken off, and is saved after step 18 /); // prettier-ignore
    expect(words.waitingText(runOf('interrupted', 0))).to.match(
      /before its first steps were saved/,
    );
    for (const state of ['stopped', 'done', 'running'] as const)
      expect(words.waitingText(runOf(state)), state).to.equal(null);
  });

  it('say that a run goes on where something of it is saved, also before the first step', () => {
    expect(words.goOnLabel(runOf('paused', 0))).to.equal('Go on');
    expect(words.goOnLabel(runOf('interrupted'))).to.equal('Go on');
    expect(words.goOnLabel(runOf('interrupted', 0))).to.equal('Begin it again');
  });

  it('open a model that was stopped on purpose or is done, alone', () => {
    const opened = (['done', 'stopped', 'paused', 'interrupted', 'running'] as const).filter(
      (state) => words.canBeOpened(runOf(state)),
    );
    expect(opened).to.deep.equal(['done', 'stopped']);
    expect(words.canBeOpened(runOf('stopped', 0))).to.equal(false);
  });
});
