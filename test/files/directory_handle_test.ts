/** In Node on folders in an IndexedDB; `npm run test:chromium` runs the same in a browser, on its own storage and on IndexedDB. */
import {expect} from 'chai';
import type {DirectoryHandle, FileHandle} from '../../src/files/directory_handle';
import {indexedDbFolder} from '../../src/files/indexed_db_folder';
import {listFiles} from '../../src/files/list_files';
import {openSink} from '../../src/files/open_sink';
import {openSource} from '../../src/files/open_source';
import {readWhole} from '../../src/files/source';
import {useIndexedDb} from '../support/indexed_db';
import {rejection} from '../support/rejection';

const uuid = '01234567-89ab-cdef-0123-456789abcdef';
const dead = `0-1@browser-${uuid}`;
const elsewhere = '1-1@another-machine';
const temporary = (path: string, writer = dead): string => `.${path}.${writer}.${uuid}.partial`;
const journal = (writer = dead): string => `.commit.${writer}.${uuid}.json`;
const [a, b, c, config] = ['tokenizer.json', 'merges.txt', 'vocab.json', 'config.json'] as const;

/** A folder whose files are as `change` makes them. */
function changed(folder: DirectoryHandle, change: (file: FileHandle) => object): DirectoryHandle {
  return {
    ...{kind: folder.kind, name: folder.name},
    getFileHandle: async (...args) => {
      const file = await folder.getFileHandle(...args);
      const changes = change(file);
      return new Proxy(file, {
        get(target, key) {
          if (key in changes) return (changes as Record<PropertyKey, unknown>)[key];
          const value = (target as unknown as Record<PropertyKey, unknown>)[key];
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        },
      });
    },
    getDirectoryHandle: (...args) => folder.getDirectoryHandle(...args),
    removeEntry: (...args) => folder.removeEntry(...args),
    keys: () => folder.keys!(),
  };
}

const withoutMove = (folder: DirectoryHandle): DirectoryHandle =>
  changed(folder, () => ({move: undefined}));
const withRefusedMove = (folder: DirectoryHandle): DirectoryHandle =>
  changed(folder, () => ({
    move: () => Promise.reject(new DOMException('', 'NotAllowedError')),
  }));

const {storage} = (globalThis.navigator ?? {}) as Partial<Navigator>;
const roots: Record<string, () => Promise<DirectoryHandle>> = {
  IndexedDB: () => indexedDbFolder('test'),
  ...(storage && {'the browser’s storage': () => storage.getDirectory()}),
};

for (const [where, root] of Object.entries(roots)) {
  for (const [how, variant] of [
    ['', (folder: DirectoryHandle) => folder],
    [', without move', withoutMove],
    [', which refuses moves', withRefusedMove],
  ] as const) {
    describe(`a folder of ${where}${how}`, () => {
      useIndexedDb();
      let plain: DirectoryHandle;
      let folder: DirectoryHandle;
      beforeEach(async () => {
        const parent = await root();
        await parent.removeEntry('test', {recursive: true}).catch(() => undefined);
        plain = await parent.getDirectoryHandle('test', {create: true});
        folder = variant(plain);
      });
      runTests(
        () => folder,
        () => plain,
      );
    });
  }
}

function runTests(folder: () => DirectoryHandle, plain: () => DirectoryHandle): void {
  async function put(files: Record<string, string>): Promise<void> {
    for (const [path, text] of Object.entries(files)) {
      const file = await (await plain().getFileHandle(path, {create: true})).createWritable!();
      await file.write(new TextEncoder().encode(text));
      await file.close();
    }
  }
  async function contents(): Promise<Record<string, string>> {
    const found: Record<string, string> = {};
    for await (const name of plain().keys!())
      found[name] = await (await (await plain().getFileHandle(name)).getFile()).text();
    return found;
  }
  async function save(
    files: Record<string, string>,
    isObsolete = (_: string): boolean => false,
    to = folder(),
  ): Promise<void> {
    const sink = openSink('test', to);
    try {
      for (const [path, text] of Object.entries(files)) {
        const bytes = new TextEncoder().encode(text);
        const file = await sink.create(path, bytes.length);
        for (const part of [bytes.subarray(0, 2), bytes.subarray(2)]) await file.write(part);
        await file.close();
      }
      await sink.commit(isObsolete);
    } catch (error) {
      await sink.abort();
      throw error;
    }
  }
  async function read(path: string): Promise<string | null> {
    const bytes = await readWhole('test', openSource('test', folder()), path, 1000);
    return bytes && new TextDecoder().decode(bytes);
  }
  const stopped = {
    ...{[a]: 'new', [b]: 'old', [c]: 'old', [config]: 'old'},
    [temporary(b)]: 'new',
    [temporary(config)]: 'new',
    [journal()]: JSON.stringify({
      renames: [a, b, config].map((path) => [temporary(path), path]),
      removals: [c],
    }),
  };
  const complete = {[a]: 'new', [b]: 'new', [config]: 'new'};

  it('has the new files, without those that are obsolete, and what else was there', async () => {
    await put({[a]: 'old', [b]: 'old', other: 'mine'});
    await save({[a]: 'new', [c]: 'new'}, (path) => path === b);
    expect(await contents()).to.deep.equal({[a]: 'new', [c]: 'new', other: 'mine'});
    expect(await listFiles('test', folder())).to.have.members([a, c, 'other']);
    expect(await read(a)).to.equal('new');
    expect(await read('none')).to.equal(null);
    expect(await read('none/at/all')).to.equal(null);
  });

  it('gives parts of files, also of folders in it, and nothing outside of it', async () => {
    const inner = await plain().getDirectoryHandle('inner', {create: true});
    await (await (await inner.getFileHandle('x', {create: true})).createWritable!()).close();
    expect(await read('inner/x')).to.equal('');
    await put({[a]: 'abcdefgh'});
    const source = openSource('test', folder());
    const file = (await source.open(a))!;
    expect(file.size).to.equal(8);
    expect(new TextDecoder().decode(await file.read(2, 5))).to.equal('cde');
    for (const path of ['../x', 'inner/../../x', '/x', 'a\\b', ''])
      expect((await rejection(source.open(path))).message).to.include('stays in its folder');
    expect((await rejection(source.open('inner'))).message).to.equal('test: inner is not a file');
    expect(source.name).to.equal('test');
    expect(await read(`${a}/x`).catch((error: unknown) => (error as Error).message)).to.match(
      /is not a file/,
    );
  });

  it('says that a file was changed while it was read', async () => {
    await put({[a]: 'old', [b]: 'old'});
    const source = openSource('test', folder());
    const [first, second] = [(await source.open(a))!, (await source.open(b))!];
    await save({[a]: 'newer'}, (path) => path === b);
    expect((await rejection(first.read(0, 2))).message).to.equal(
      `test: ${a} had 3 bytes when it was opened and has 5 now; it was changed while it was read`,
    );
    expect((await rejection(second.read(0, 2))).message).to.match(/is gone; it was changed/);
  });

  it('is as its page would have left it, when that was closed in the middle', async () => {
    for (const open of [
      async () => expect(await read(b)).to.equal('new'),
      async () => expect(await listFiles('test', folder())).to.have.members(Object.keys(complete)),
      async () => save({[config]: 'new'}),
    ]) {
      await put(stopped);
      await open();
      expect(await contents()).to.deep.equal(complete);
    }
  });

  it('is finished once by several that open it at the same time', async () => {
    await put(stopped);
    expect(await Promise.all([a, b, config, c].map(read))).to.deep.equal([
      ...['new', 'new', 'new', null],
    ]);
    expect(await contents()).to.deep.equal(complete);
  });

  it('does what a program outside of the browser began, a second after it', async () => {
    await put(
      Object.fromEntries(
        Object.entries(stopped).map(([name, text]) => [
          name.replace(dead, elsewhere),
          text.replaceAll(dead, elsewhere),
        ]),
      ),
    );
    const start = performance.now();
    expect(await read(config)).to.equal('new');
    expect(performance.now() - start).to.be.greaterThan(900);
    expect(await contents()).to.deep.equal(complete);
  });

  it('stays as it was before a list of what is to be done was complete', async () => {
    for (const list of ['', '{"renames": [']) {
      await put({[a]: 'old', [temporary(a)]: 'new', [journal()]: list});
      expect(await read(a)).to.equal('old');
      await save({[b]: 'new'});
      const {[temporary(a)]: _, ...others} = await contents();
      expect(others).to.deep.equal({[a]: 'old', [b]: 'new'});
    }
  });

  it('refuses a journal that is a stranger’s', async () => {
    for (const list of [
      {renames: []},
      {renames: [['notes.txt', a]], removals: []},
      {renames: [[temporary(a), 'notes.txt']], removals: []},
      {renames: [], removals: ['..']},
    ]) {
      const files = {[a]: 'old', 'notes.txt': 'mine', [journal()]: JSON.stringify(list)};
      await put(files);
      expect((await rejection(read(a))).message).to.match(/it is not from this library, so remove/);
      expect(await contents()).to.deep.equal(files);
    }
  });

  it('loses the unfinished files of pages that are closed, no others', async () => {
    const kept = {[temporary('x', elsewhere)]: '', 'a.partial': ''};
    await put({...kept, [temporary(a)]: 'lost'});
    if (globalThis.navigator?.locks === undefined) {
      // nobody can tell whether its page is closed
      await save({[b]: 'new'});
      expect(await contents()).to.deep.equal({...kept, [temporary(a)]: 'lost', [b]: 'new'});
      return;
    }
    await navigator.locks.request(`tfjs-owlore browser-${uuid}`, () => save({[b]: 'new'}));
    expect(await contents()).to.deep.equal({...kept, [temporary(a)]: 'lost', [b]: 'new'});
    await save({[b]: 'newer'});
    expect(await contents()).to.deep.equal({...kept, [b]: 'newer'});
  });

  it('gets no files of other names, and none where a folder is', async () => {
    expect((await rejection(save({'notes.txt': 'new'}))).message).to.equal(
      "test: 'notes.txt' is no name of a file of a model or a checkpoint",
    );
    await plain().getDirectoryHandle(c, {create: true});
    expect((await rejection(save({[a]: 'new', [c]: 'new'}))).message).to.match(
      /^test: 'vocab.json' in the folder 'test' is a folder; move it away/,
    );
    await plain().removeEntry(c);
    expect(await contents()).to.deep.equal({});
  });

  it('stays as it was, with words about the room, where the storage is full', async () => {
    await put({[a]: 'old', [b]: 'old'});
    const full = changed(folder(), (file) =>
      file.name.includes(b)
        ? {
            createSyncAccessHandle: undefined,
            async createWritable() {
              const writable = await file.createWritable!();
              return {
                write: () => Promise.reject(new DOMException('no room', 'QuotaExceededError')),
                abort: () => writable.abort(),
              };
            },
          }
        : {},
    );
    const error = await rejection(save({[a]: 'new', [b]: 'new'}, undefined, full));
    expect(error.message).to.match(
      /^test: cannot write to the folder 'test': merges.txt has 0.0 MB, more than there is room for; the files that were in it are as they were. Remove older runs and models, or save elsewhere/,
    );
    expect((error.cause as Error).name).to.equal('QuotaExceededError');
    expect(await contents()).to.deep.equal({[a]: 'old', [b]: 'old'});
  });

  it('keeps what is decided, where not all can be done, and does it later', async () => {
    await put({[a]: 'old', [b]: 'old'});
    const broken = changed(withoutMove(folder()), (file) =>
      file.name === b
        ? {
            createWritable: () =>
              Promise.reject(new DOMException('no', 'NoModificationAllowedError')),
          }
        : {},
    );
    const {message} = await rejection(save({[a]: 'new', [b]: 'new'}, undefined, broken));
    expect(message).to.match(/not all of them could be put in their places: no. The next program/);
    expect((await contents())[a]).to.equal('new');
    expect(await read(b)).to.equal('new');
    expect(await contents()).to.deep.equal({[a]: 'new', [b]: 'new'});
  });

  it('takes large files in parts', async () => {
    const size = 3 * 2 ** 22 + 5;
    const sink = openSink('test', folder());
    const file = await sink.create('model.safetensors', size);
    const part = new Uint8Array(2 ** 20);
    for (let at = 0; at < size; at += part.length) {
      part.fill(at / part.length);
      await file.write(part.subarray(0, Math.min(part.length, size - at)));
    }
    await file.close();
    await sink.commit(() => false);
    const read = (await openSource('test', folder()).open('model.safetensors'))!;
    expect(read.size).to.equal(size);
    expect([...(await read.read(5 * part.length - 1, 5 * part.length + 1))]).to.deep.equal([4, 5]);
    expect([...(await read.read(size - 5, size))]).to.deep.equal([12, 12, 12, 12, 12]);
  });
}
