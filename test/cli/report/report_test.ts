import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {runInNewContext} from 'node:vm';
import {expect} from 'chai';
import {parseHTML} from 'linkedom';
import {writeReport, type RunRecord} from '../../../src/cli/report/report';

const record: RunRecord = {
  ...{title: 'a run', lead: 'of a test', method: 'OwLore', backend: 'wasm', parameters: 9},
  ...{seconds: 60, settings: {}, next: [], scoreTitle: null, outsideBlocks: 'all'},
  blocks: [{name: 'block', score: null, probability: 1, stepsTrained: 1}],
  steps: [{loss: 2, learningRate: 0.1, active: [true], peak: 7e6}],
  heldOut: [0, 1].map((step) => ({step, loss: 3 - step})),
  ...{savedStep: 1, samples: []},
  memory: {method: {peak: 7e6, state: 2e6}, full: null},
};

interface Shown {
  /** Of the window. */
  title: string;
  figures: string[];
  headings: string[];
  commands: string[];
  text: string;
  /** What the axes of each chart show, by its place. */
  axes: Record<string, string[]>;
  /** The values of each line of each chart, by its place and the line's label. */
  series: Record<string, Record<string, unknown[]>>;
}

describe('the report of a run', () => {
  let folder: string;
  before(() => void (folder = mkdtempSync(join(tmpdir(), 'owlore-report-'))));
  after(() => rmSync(folder, {recursive: true}));

  /** The texts of a report after its scripts have run, without charts. */
  function shown(run: Partial<RunRecord>): Shown {
    const file = join(folder, 'report.html');
    writeReport(file, {...record, ...run});
    const {document} = parseHTML(readFileSync(file, 'utf8'));
    const [, helpers, , page] = [...document.querySelectorAll('script')];
    const listens = {addEventListener: () => undefined};
    const axes: Shown['axes'] = {};
    const series: Shown['series'] = {};
    type Labelled = Array<{label: string}>;
    function Chart(
      options: {axes: Labelled; series: Labelled},
      data: unknown[][],
      {id}: {id: string},
    ): void {
      axes[id] = options.axes.map(({label}) => label);
      series[id] = Object.fromEntries(options.series.map(({label}, i) => [label, data[i]!]));
    }
    runInNewContext(`${helpers!.textContent}\n${page!.textContent}`, {
      ...{document, ...listens, matchMedia: () => listens, uPlot: Chart},
    });
    const textsOf = (selector: string): string[] =>
      [...document.querySelectorAll(selector)].map(({textContent}) => textContent);
    const text = document.querySelector('main')!.textContent;
    const {title} = document;
    const [figures, headings] = [textsOf('#figures .card'), textsOf('h2')];
    return {title, figures, headings, commands: textsOf('#next pre'), text, axes, series};
  }

  for (const [seconds, told] of [
    [59.4, '0 min 59 s'],
    [59.6, '1 min 0 s'],
    [119.7, '2 min 0 s'],
    [3725, '62 min 5 s'],
  ] as const) {
    it(`says ${told} for ${seconds} s`, () => {
      expect(shown({seconds}).figures.at(-1)).to.match(new RegExp(`^Time${told}1 steps`));
    });
  }

  it('shows what the model goes on with, before and after, as text', () => {
    const samples = [
      {prompt: 'What is a whale?', before: 'I <b>am</b>', after: '</script> A fish'},
      {prompt: 'And a ship?', before: '', after: 'Wood…'},
    ];
    const {text, headings} = shown({samples});
    expect(headings).to.include('Before and after');
    expect(text).to.match(
      /What is a whale\?beforeI <b>am<\/b>after<\/script> A fishAnd a ship\?beforeafterWood…/,
    );
    expect(shown({}).headings).not.to.include('Before and after');
  });

  it('has the loss of the model that was saved', () => {
    const heldOut = [3, 1, 2].map((loss, step) => ({step, loss}));
    expect(shown({heldOut, savedStep: 1}).figures[0]).to.match(/^Held-out loss3\.000 → 1\.000/);
    expect(shown({heldOut, savedStep: 2}).figures[0]).to.match(/^Held-out loss3\.000 → 2\.000/);
  });

  it('says in its window which run it is, what its axes show, and how to go on', () => {
    const next = [{what: 'Talk to it:', command: "npx tfjs-owlore chat --model 'a b/model'"}];
    const {title, axes, commands} = shown({next});
    expect(title).to.equal('a run');
    expect(axes).to.deep.equal({
      loss: ['step', 'nats a token'],
      rate: ['step', 'learning rate'],
      memory: ['step', 'MB'],
    });
    expect(commands).to.deep.equal([next[0]!.command]);
    expect(shown({}).headings).not.to.include('Go on');
  });

  it('shows single blocks only where a method draws some', () => {
    const all = shown({});
    expect(all.headings).not.to.include('The blocks');
    expect(all.text).to.include('This method trains the one block in every step.');
    const drawn = {name: 'block', score: null, probability: 0.5, stepsTrained: 1};
    const some = shown({blocks: [drawn, drawn]});
    expect(some.headings).to.include('The blocks');
    expect(some.axes['heat']).to.deep.equal(['step', 'block']);
  });

  it("has tensor memory of this library's steps, and the memory of the process of PyTorch's", () => {
    const own = shown({});
    expect(own.headings).to.include('Tensor memory');
    expect(own.figures[2]).to.match(/^Peak tensor memory7\.0\sMBwithin a step, at most$/);
    const torch = shown({backend: 'torch'});
    expect(torch.text).not.to.match(/tensor memory/i);
    expect(torch.headings).to.include('Memory');
    expect(torch.text).to.match(/the most memory that the process ever had, Python included/);
  });

  it('has what plain fine-tuning would take, where that is known', () => {
    const {method} = record.memory;
    const {figures, text, series} = shown({memory: {method, full: null, plain: 28e6}});
    expect(figures[2]).to.match(/^Peak tensor memory7\.0\sMB25 % of plain fine-tuning$/);
    expect(text).to.match(/Plain fine-tuning would take 28\.0\sMB: an estimate\./);
    expect(series['memory']).to.deep.equal({
      step: [0, 1],
      OwLore: [null, 7e6],
      'plain fine-tuning 28.0\u00a0MB': [28e6, 28e6],
    });
    const large = shown({memory: {method, full: null, plain: 2.345e9}});
    expect(large.text).to.match(/would take 2\.35\sGB/);
    expect(shown({}).text).not.to.include('lain fine-tuning');
    expect(Object.keys(shown({}).series['memory']!)).to.deep.equal(['step', 'OwLore']);
  });

  it('is shown of a run that was stopped before anything was measured', () => {
    const blocks = [{name: 'block', score: null, probability: 0.5, stepsTrained: 0}];
    const none = shown({heldOut: [], steps: [], savedStep: 0, blocks});
    expect(none.text).not.to.include('NaN');
    expect(none.figures[0]).to.match(/^Held-out loss–/);
    expect(none.headings).to.include('Settings');
  });
});
