import {expect} from 'chai';
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type {DemoRun} from '../../demo/tables';
import {loadTokenizer} from '../../src/llama';
import {thorough} from '../support/backends';
import {runProgram} from '../support/programs';

describe('demo', function () {
  this.timeout(180_000);
  let folder: string;
  before(() => void (folder = mkdtempSync(join(tmpdir(), 'owlore-demo-'))));
  after(() => rmSync(folder, {recursive: true}));

  // `npm run demo` does so, too
  (thorough ? it : it.skip)(
    'fine-tunes, reports, and does the same again for the same seed',
    async () => {
      const reports = ['a', 'b'].map((name) => join(folder, `${name}.html`));
      const args = '--steps 3 --interval 1 --refresh 2 --gamma 3 --report'.split(' ');
      const results = await Promise.all(
        reports.map((report) => runProgram('demo/demo', [...args, report])),
      );
      for (const {code, stderr} of results)
        expect({code, stderr}).to.deep.equal({code: 0, stderr: ''});

      const [html, ...again] = reports.map((report) => readFileSync(report, 'utf8'));
      const run = readRun(html!);
      expect(run.heldOut.map(({step}) => step)).to.deep.equal([0, 3]);
      expect(run.heldOut[1]!.loss).to.be.below(run.heldOut[0]!.loss);
      expect(run.steps.map(({active}) => active.filter(Boolean).length)).to.deep.equal(
        Array(3).fill(3),
      );
      expect(run.blocks.reduce((sum, {stepsTrained}) => sum + stepsTrained, 0)).to.equal(9);
      expect(run.memory.method.state).to.be.within(1, run.memory.full.state / 2);
      expect(run.memory.method.peak).to.be.within(1, run.memory.full.peak);
      expect(html).not.to.match(/\b(src|href)=/); // one file that loads nothing
      expect(results[0]!.stdout).to.include(`Report: ${reports[0]}`);
      const {seconds: _, ...first} = run;
      for (const other of again) expect(readRun(other)).to.deep.include(first);
    },
  );

  it('starts from a model whose answers end where it is trained on questions', async () => {
    const names = ['tokenizer.json', 'tokenizer_config.json'];
    const files = new Map(names.map((name) => [name, readFileSync(`demo/model/${name}`)]));
    const {eosTokenId} = await loadTokenizer(files);
    expect(eosTokenId).to.equal(0); // <|endoftext|>, by which it was trained that a text ends
  });

  it('refuses a wrong option in one line', async () => {
    const {code, stdout, stderr} = await runProgram('demo/demo', ['--gamma', '9']);
    expect({code, stdout}).to.deep.equal({code: 2, stdout: ''});
    expect(stderr).to.match(/^error: demo: --gamma must be .* <= 8; got 9\n$/);
  });
});

/** The data in a report. */
function readRun(html: string): DemoRun {
  const json = /<script type="application\/json" id="run">(.*?)<\/script>/s.exec(html);
  return JSON.parse(json![1]!) as DemoRun;
}
