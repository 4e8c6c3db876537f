import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {listFiles} from '../../src/files/list_files';
import {rejection} from '../support/rejection';

describe('listFiles', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'owlore-list-'))));
  afterEach(() => rmSync(folder, {recursive: true}));

  it('gives the names in a map and in a folder; none of a folder that is not there', async () => {
    for (const name of ['a', 'b']) writeFileSync(join(folder, name), '');
    expect(await listFiles('test', folder)).to.have.members(['a', 'b']);
    expect(await listFiles('test', new Map([['c', new Uint8Array()]]))).to.deep.equal(['c']);
    for (const none of ['none', 'a/none'])
      expect(await listFiles('test', join(folder, none))).to.deep.equal([]);
  });

  it('refuses a file', async () => {
    const file = join(folder, 'a');
    writeFileSync(file, '');
    expect((await rejection(listFiles('test', file))).message).to.equal(
      `test: '${file}' is a file; give the folder that it is in`,
    );
  });
});
