import {mkdtempSync, rmSync, utimesSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {isAsWritten, rememberWritten, tensorsPath} from '../../src/checkpoint/manifest';

describe('files of checkpoints that this process has written', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'owlore-manifest-'))));
  afterEach(() => rmSync(folder, {recursive: true}));

  // a time to come is now, however long the machine stops here
  for (const [when, age, isNoticed] of [
    ['now are read again, since a change may not show in their time', -10_000, true],
    ['a while ago are not', 10_000, false],
  ] as const) {
    it(when, async () => {
      const bytes = new Uint8Array(100).fill(age > 0 ? 1 : 2);
      const path = await tensorsPath('test', bytes);
      const write = (content: Uint8Array): void => {
        writeFileSync(join(folder, path), content);
        utimesSync(join(folder, path), 1000, 1000);
      };
      const isRight = (): Promise<boolean> => isAsWritten('test', folder, path, bytes.length);
      write(bytes);
      await rememberWritten('test', folder, new Map([[path, performance.now() - age]]));
      write(new Uint8Array(bytes.length));
      expect(await isRight()).to.equal(!isNoticed);
      // a file with another time is always read
      utimesSync(join(folder, path), 2000, 2000);
      expect(await isRight()).to.equal(false);
    });
  }
});
