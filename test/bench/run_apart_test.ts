import {spawnSync} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';

const runApart = new URL('../../bench/harness/run_apart.ts', import.meta.url).href;

describe('bench/run_apart', () => {
  let program: string;

  beforeEach(() => {
    program = join(mkdtempSync(join(tmpdir(), 'owlore-apart-')), 'program.mjs');
    // without options it runs itself, and goes on whatever comes of that
    writeFileSync(
      program,
      `import {runApart} from '${runApart}';
      const args = process.argv.slice(2);
      if (args.length === 0) {
        runApart(import.meta.url, {code: '3', all: true, none: false, unset: undefined});
        runApart(import.meta.url, {code: '0'});
      } else {
        console.log(args.join(' '));
        process.exit(Number(args[1]));
      }`,
    );
  });

  afterEach(() => rmSync(join(program, '..'), {recursive: true}));

  it('gives on options, goes on after a failure, and fails in the end', () => {
    const args = ['--import', 'tsx', program];
    const {status, stdout, stderr} = spawnSync(process.execPath, args, {encoding: 'utf8'});
    expect(stdout).to.equal('--code 3 --all\n--code 0\n');
    expect(stderr).to.equal('failed: program.mjs --code 3 --all\n');
    expect(status).to.equal(1);
  });
}).timeout(30_000);
