import {expect} from 'chai';
import {spawn} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import type {DemoRun} from '../../demo/tables';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Result {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the demo as `npm run demo` does. */
function runDemo(...args: string[]): Promise<Result> {
  // Coverage counts what the tests themselves run: a program's part in it would be merged under other source maps.
  const env = {...process.env, NODE_V8_COVERAGE: ''};
  const argv = ['--import', 'tsx', 'demo/demo.ts', ...args];
  const child = spawn(process.execPath, argv, {cwd: root, env});
  const result: Result = {code: null, stdout: '', stderr: ''};
  child.stdout.on('data', (text: Buffer) => (result.stdout += text.toString()));
  child.stderr.on('data', (text: Buffer) => (result.stderr += text.toString()));
  return new Promise((resolve) => {
    child.on('close', (code) => resolve({...result, code}));
  });
}

describe('demo', function () {
  this.timeout(180_000);
  let folder: string;
  before(() => void (folder = mkdtempSync(join(tmpdir(), 'owlore-demo-'))));
  after(() => rmSync(folder, {recursive: true}));

  it('fine-tunes, reports, and does the same again for the same seed', async () => {
    const reports = ['a', 'b'].map((name) => join(folder, `${name}.html`));
    const args = '--steps 3 --interval 1 --refresh 2 --gamma 3 --report'.split(' ');
    const results = await Promise.all(reports.map((report) => runDemo(...args, report)));
    for (const {code, stderr} of results)
      expect({code, stderr}).to.deep.equal({code: 0, stderr: ''});

    const [html, again] = reports.map((report) => readFileSync(report, 'utf8'));
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
    expect(readRun(again!)).to.deep.include(first);
  });

  it('refuses a wrong option in one line', async () => {
    const {code, stdout, stderr} = await runDemo('--gamma', '9');
    expect({code, stdout}).to.deep.equal({code: 2, stdout: ''});
    expect(stderr).to.match(/^error: demo: --gamma must be .* <= 8; got 9\n$/);
  });
});

/** The data in a report. */
function readRun(html: string): DemoRun {
  const json = /<script type="application\/json" id="run">(.*?)<\/script>/s.exec(html);
  return JSON.parse(json![1]!) as DemoRun;
}
