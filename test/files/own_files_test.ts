import {spawnSync} from 'node:child_process';
import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {
  appendWhole,
  createFile,
  kindOf,
  linesOf,
  makeFolder,
  openToAppend,
  readEnd,
  readFile,
  replaceFile,
} from '../../src/files/own_files';
import {openFilesIn} from '../support/open_files';
import {onSmallDisk} from '../support/small_disk';

describe('files that a program keeps for itself', () => {
  let folder: string;
  const at = (name: string): string => join(folder, name);
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'owlore-own-'));
    writeFileSync(at('file'), 'old');
    mkdirSync(at('folder'));
    symlinkSync(at('file'), at('link'));
    symlinkSync(at('nowhere'), at('dangling'));
    if (process.platform !== 'win32') spawnSync('mkfifo', [at('pipe')]);
  });
  afterEach(() => {
    expect(openFilesIn(folder)).to.deep.equal([]);
    rmSync(folder, {recursive: true});
  });
  const text = (name: string): string => readFileSync(at(name), 'utf8');

  it('are told from what else may have their name', () => {
    const kinds = {file: 'file', folder: 'folder', link: 'link', dangling: 'link', none: null};
    for (const [name, kind] of Object.entries(kinds)) expect(kindOf(at(name)), name).to.equal(kind);
    if (process.platform !== 'win32') expect(kindOf(at('pipe'))).to.equal('other');
  });

  it('are made only where nothing is', () => {
    for (const name of ['file', 'folder', 'link', 'dangling'])
      expect(() => createFile(at(name)), name).to.throw(/EEXIST/);
    closeSync(createFile(at('new')));
    expect(text('new')).to.equal('');
  });

  it('are read and written to if they are files, and not through a link', function () {
    if (process.platform === 'win32') this.skip();
    const readFirst = (path: string): unknown => linesOf(path).next();
    const readLast = (path: string): unknown => readEnd(path, 1);
    for (const take of [readFile, readFirst, readLast, openToAppend]) {
      for (const name of ['link', 'dangling']) expect(() => take(at(name)), name).to.throw(/ELOOP/);
      expect(() => take(at('none'))).to.throw(/ENOENT/);
    }
    for (const name of ['folder', 'pipe'])
      expect(() => readFile(at(name))).to.throw(`'${at(name)}' is not a file`);
    expect(() => openToAppend(at('folder'))).to.throw(/EISDIR/);
    const file = openToAppend(at('file'));
    writeSync(file, ' and new');
    closeSync(file);
    expect(readFile(at('file')).toString()).to.equal('old and new');
    expect(text('link')).to.equal('old and new');
  });

  it('are read up to a size', () => {
    expect(readFile(at('file'), 3).toString()).to.equal('old');
    expect(() => readFile(at('file'), 2)).to.throw(
      `'${at('file')}' has 3 bytes, where no more than 2 can be in it`,
    );
  });

  it('are read a line at a time, or at their end, in little memory', () => {
    const long = 'é'.repeat(800_000);
    writeFileSync(at('lines'), `one\n\n${long}\nlast`);
    expect([...linesOf(at('lines'))]).to.deep.equal(['one', '', long, 'last']);
    writeFileSync(at('lines'), 'one\n');
    expect([...linesOf(at('lines'), 4)]).to.deep.equal(['one']);
    expect(() => linesOf(at('lines'), 3).next()).to.throw('where no more than 3 can be in it');
    expect(readEnd(at('lines'), 3).toString()).to.equal('ne\n');
    expect(readEnd(at('lines'), 30).toString()).to.equal('one\n');
    const longest = 'x'.repeat(1_000_000);
    writeFileSync(at('lines'), longest);
    expect([...linesOf(at('lines'))]).to.deep.equal([longest]);
    writeFileSync(at('lines'), 'one\n');
    // more than a process may have
    truncateSync(at('lines'), 2 ** 40);
    const lines = linesOf(at('lines'));
    expect(lines.next().value).to.equal('one');
    expect(() => lines.next()).to.throw(
      `'${at('lines')}' has a line of more than 1000000 characters`,
    );
    expect(readEnd(at('lines'), 3)).to.deep.equal(Buffer.alloc(3));
  });

  it('are replaced, and not written to under other names', () => {
    linkSync(at('file'), at('other'));
    for (const [name, content] of [
      ['file', 'new'],
      ['link', Buffer.from('new')],
      ['none', 'new'],
    ] as const) {
      const file = replaceFile(at(name), content);
      writeSync(file, '!');
      closeSync(file);
      expect([kindOf(at(name)), text(name)]).to.deep.equal(['file', 'new!']);
    }
    expect(text('other')).to.equal('old');
  });

  it('leave nothing behind where they cannot be replaced', () => {
    const before = readdirSync(folder);
    expect(() => replaceFile(at('folder'), 'new')).to.throw(/EISDIR|EEXIST|EPERM/);
    expect(readdirSync(folder)).to.deep.equal(before);
  });

  it('get all of a text at their end, or nothing', async function () {
    const isMade = await onSmallDisk(at('folder'), () => {
      const file = createFile(at('folder/file'));
      appendWhole(file, 'one\n');
      expect(() => appendWhole(file, 'x'.repeat(100_000))).to.throw(/ENOSPC/);
      expect(text('folder/file')).to.equal('one\n');
      appendWhole(file, 'two\n');
      closeSync(file);
      expect(text('folder/file')).to.equal('one\ntwo\n');
    });
    if (!isMade) this.skip();
  });

  it('are in folders that are no links', () => {
    makeFolder(at('new'));
    makeFolder(at('folder'));
    expect([kindOf(at('new')), kindOf(at('folder'))]).to.deep.equal(['folder', 'folder']);
    symlinkSync(at('folder'), at('to folder'));
    for (const name of ['file', 'dangling', 'to folder'])
      expect(() => makeFolder(at(name)), name).to.throw(/EEXIST/);
    expect(existsSync(at('nowhere'))).to.equal(false);
  });
});
