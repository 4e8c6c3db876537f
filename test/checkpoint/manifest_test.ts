import {mkdtempSync, rmSync, utimesSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {
  isAsWritten,
  listManifests,
  readChecked,
  rememberWritten,
  tensorsPath,
} from '../../src/checkpoint/manifest';
import {withBroken} from '../support/broken_files';
import {rejection} from '../support/rejection';

describe('files of checkpoints that this process has written', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'owlore-manifest-'))));
  afterEach(() => rmSync(folder, {recursive: true}));

  const isRight = (path: string): Promise<boolean> => isAsWritten('test', folder, path, 100);
  /** Writes a file of 100 bytes; its time is always the same. */
  function write(path: string, value = 0): void {
    writeFileSync(join(folder, path), new Uint8Array(100).fill(value));
    utimesSync(join(folder, path), 1000, 1000);
  }

  // a time to come is now, however long the machine stops here
  for (const [when, age, isNoticed] of [
    ['now are read again, since a change may not show in their time', -10_000, true],
    ['a while ago are not', 10_000, false],
  ] as const) {
    it(when, async () => {
      const values = age > 0 ? [1, 3] : [2, 4];
      const paths: string[] = [];
      for (const value of values) {
        const path = await tensorsPath('test', new Uint8Array(100).fill(value));
        write(path, value);
        paths.push(path);
      }
      const time = performance.now() - age;
      await rememberWritten('test', folder, new Map(paths.map((path) => [path, time])));
      for (const path of paths) {
        write(path);
        expect(await isRight(path)).to.equal(!isNoticed);
        const again = withBroken('read', () => isRight(path));
        if (isNoticed) expect((await rejection(again)).message).to.match(/^EIO/);
        else expect(await again).to.equal(true);
        // a file with another time is always read
        utimesSync(join(folder, path), 2000, 2000);
        expect(await isRight(path)).to.equal(false);
      }
    });
  }

  it('may be gone', async () => {
    const path = await tensorsPath('test', new Uint8Array(100).fill(5));
    await rememberWritten('test', folder, new Map([[path, -10_000]]));
    expect(await isRight(path)).to.equal(false);
    write(path, 5);
    expect(await isRight(path)).to.equal(true);
  });
});

describe('files of a checkpoint', () => {
  it('are read up to a size', async () => {
    const bytes = Uint8Array.of(1, 2, 3);
    const path = await tensorsPath('test', bytes);
    const files = new Map([[path, bytes]]);
    expect(await readChecked('test', files, path, 3)).to.deep.equal(bytes);
    expect((await rejection(readChecked('test', files, path, 2))).message).to.equal(
      `the file ${path} has 3 bytes, where no more than 2 can be in it`,
    );
  });

  it('that cannot be read are an error, and not taken for damaged', async () => {
    const path = await tensorsPath('test', Uint8Array.of(1));
    const blob = Object.assign(new Blob([Uint8Array.of(1)]), {
      slice: () => ({arrayBuffer: () => Promise.reject(new Error('the disk is broken'))}),
    });
    const files = new Map([[path, blob as unknown as Uint8Array]]);
    expect((await rejection(isAsWritten('test', files, path, 1))).message).to.equal(
      'the disk is broken',
    );
  });
});

describe('listManifests', () => {
  it('has the newest first, and no other files', async () => {
    const name = (number: string): string => `checkpoint-${number}-${'0a'.repeat(16)}.json`;
    const paths = ['000002', '1000000', '000010', '000001'].map(name);
    const others = ['x', '00001', '1'.repeat(16)].map(name).concat('README.md', `a${paths[0]}`);
    const files = new Map([...paths, ...others].map((path) => [path, new Uint8Array()]));
    const listed = await listManifests('test', files);
    expect(listed).to.deep.equal([
      {path: name('1000000'), number: 1_000_000},
      {path: name('000010'), number: 10},
      {path: name('000002'), number: 2},
      {path: name('000001'), number: 1},
    ]);
  });
});
