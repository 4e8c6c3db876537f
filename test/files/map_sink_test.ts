import {expect} from 'chai';
import {openSink} from '../../src/files/open_sink';
import type {ModelTarget} from '../../src/files/sink';

describe('maps that files are saved to', () => {
  const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

  it('have the new files when all are there, without those that are obsolete, and what else was there', async () => {
    const target = new Map([
      ['a', bytes(1)],
      ['b', bytes(2)],
      ['c', bytes(3)],
    ]);
    const before = new Map(target);
    const sink = openSink('test', target);
    const file = await sink.create('a', 5);
    const part = bytes(7, 8);
    await file.write(part);
    part.fill(0); // as the caller may
    await file.write(bytes(9));
    await file.write(bytes(10, 11));
    await file.close();
    await (await sink.create('d', 0)).close();
    expect(target).to.deep.equal(before);
    await sink.commit((path) => path === 'b');
    expect([...target]).to.deep.equal([
      ['a', bytes(7, 8, 9, 10, 11)],
      ['c', bytes(3)],
      ['d', bytes()],
    ]);
  });

  it('stay as they were when it is given up', async () => {
    const target = new Map([['a', bytes(1)]]);
    const sink = openSink('test', target);
    await (await sink.create('a', 1)).write(bytes(2));
    await sink.abort();
    expect([...target]).to.deep.equal([['a', bytes(1)]]);
  });
});

describe('openSink', () => {
  it('refuses what is neither a folder nor a map', () => {
    for (const target of [undefined, null, 3, {}, '', 'https://h/a', 'a\0b'])
      expect(() => openSink('test', target as ModelTarget)).to.throw(
        /^test: a target is the path of a folder, a FileSystemDirectoryHandle or a Map; got /,
      );
  });
});
