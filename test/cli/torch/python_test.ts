import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import type {Program} from '../../../src/cli/start_program';
import {checkPython} from '../../../src/cli/torch/python';
import {rejection} from '../../support/rejection';
import {goodPackages} from '../fake_python';

describe('checkPython', () => {
  let folder: string;
  before(() => void (folder = mkdtempSync(join(tmpdir(), 'owlore-python-'))));
  after(() => rmSync(folder, {recursive: true}));

  /** A program of the shell. */
  function programOf(text: string): Program {
    const path = join(folder, 'python') as Program;
    writeFileSync(path, `#!/bin/sh\n${text}\n`, {mode: 0o755});
    return path;
  }

  const saying = (found: object): string => `echo '${JSON.stringify(found)}'`;

  it('takes one that says other things first', async () => {
    const found = await checkPython(programOf(`echo hello; ${saying({...goodPackages, gpus: 3})}`));
    expect(found).to.deep.equal({gpus: 3});
  });

  for (const wrong of [
    ...[{python: undefined}, {python: 3.12}, {python: 'new'}, {gpus: undefined}, {gpus: 'two'}],
    ...[{gpus: 0.5}, {torch: undefined}, {torch: 2}, {numpy: 'new'}, {problem: 1}],
  ]) {
    it(`refuses one that says ${Object.entries(wrong).join(': ')}`, async () => {
      const {message} = await rejection(
        checkPython(programOf(saying({...goodPackages, ...wrong}))),
      );
      expect(message).to.match(/'.*python' does not run as Python does; name another one by/);
    });
  }

  it('refuses one that says nothing in time', async () => {
    const {message} = await rejection(checkPython(programOf('exec sleep 600'), 300));
    expect(message).to.match(/'.*python' has not said in 0\.005 minutes what it has; try/);
  });
});
