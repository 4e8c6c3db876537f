import {spawnSync} from 'node:child_process';
import fs, {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import {hostname, tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {isPassingName} from '../../src/files/folder_commit';
import {listFiles} from '../../src/files/list_files';
import {openSink} from '../../src/files/open_sink';
import {openSource} from '../../src/files/open_source';
import {readWhole} from '../../src/files/source';
import {resultOf, startProgram} from '../support/programs';
import {withAsyncFunctions, withBroken} from '../support/broken_files';
import {openFilesIn} from '../support/open_files';
import {rejection} from '../support/rejection';
import {onSmallDisk} from '../support/small_disk';

const uuid = '01234567-89ab-cdef-0123-456789abcdef';
const host = encodeURIComponent(hostname());
/** A process that has ended. */
const {pid: dead} = spawnSync(process.execPath, ['--version']);
const temporary = (path: string, pid: number, machine = host, start = 1): string =>
  `.${path}.${pid}-${start}@${machine}.${uuid}.partial`;
/** Names of files, since only those of a model and the like may take the places of others. */
const [a, b, c, more] = ['tokenizer.json', 'merges.txt', 'vocab.json', 'README.md'] as const;
const [shard1, shard2, shard3] = [1, 2, 3].map((i) => `model-0000${i}-of-00003.safetensors`) as [
  string,
  string,
  string,
];
const config = 'config.json';
const journalOf = (pid: number, machine = host): string =>
  `.commit.${pid}-1@${machine}.${uuid}.json`;

describe('isPassingName', () => {
  it('knows files that are not complete and lists of what is to be done', () => {
    const names = [temporary(a, 1), journalOf(1), a, '.commit.json', `${temporary(a, 1)}.json`];
    expect(names.map(isPassingName)).to.deep.equal([true, true, false, false, false]);
  });
});

describe('folders that files are saved to', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'owlore-sink-'))));
  afterEach(() => {
    expect(openFilesIn(folder)).to.deep.equal([]);
    rmSync(folder, {recursive: true});
  });

  const contents = (from = folder): Record<string, string> =>
    Object.fromEntries(
      readdirSync(from).map((path) => [path, readFileSync(join(from, path), 'utf8')]),
    );
  const put = (files: Record<string, string>, to = folder): void => {
    for (const [path, text] of Object.entries(files)) writeFileSync(join(to, path), text);
  };
  async function save(files: Record<string, string>, isObsolete = (_: string): boolean => false) {
    const sink = openSink('test', folder);
    try {
      for (const [path, text] of Object.entries(files)) {
        const bytes = new TextEncoder().encode(text);
        const file = await sink.create(path, bytes.length);
        await file.write(bytes).finally(() => file.close());
      }
      await sink.commit(isObsolete);
    } catch (error) {
      await sink.abort();
      throw error;
    }
  }
  async function read(path: string): Promise<string | null> {
    const bytes = await readWhole('test', openSource('test', folder), path, 1000);
    return bytes && new TextDecoder().decode(bytes);
  }

  it('have the new files, without those that are obsolete, and what else was there', async () => {
    put({[a]: 'old', [b]: 'old', other: 'mine'});
    await save({[a]: 'new', [c]: 'new'}, (path) => path === b);
    expect(contents()).to.deep.equal({[a]: 'new', [c]: 'new', other: 'mine'});
  });

  it('have the files of one alone, where two are saved at once', async () => {
    const isShard = (path: string): boolean => path.endsWith('.safetensors');
    for (let round = 0; round < 20; round++) {
      const saves = [[shard1], [shard2, shard3]].map((shards, i) =>
        save(
          Object.fromEntries([...shards, config].map((path) => [path, `of ${i}`])),
          (path) => isShard(path) && !shards.includes(path),
        ),
      );
      await Promise.all(saves);
      const {[config]: last, ...others} = contents();
      expect([[shard1], [shard2, shard3]].map((each) => each.join())).to.include(
        Object.keys(others).join(),
      );
      expect(new Set(Object.values(others))).to.deep.equal(new Set([last]));
    }
  });

  it('keep a folder that has the name of what is obsolete', async () => {
    mkdirSync(join(folder, shard1));
    put({[shard2]: 'old'});
    await save({[config]: 'new'}, (path) => path === shard1 || path === shard2);
    expect(readdirSync(folder)).to.have.members([shard1, config]);
    expect(await read(config)).to.equal('new');
  });

  it('are not written through, where files in them are links', async () => {
    const elsewhere = mkdtempSync(join(tmpdir(), 'owlore-elsewhere-'));
    try {
      put({novel: 'a novel', other: 'a novel'}, elsewhere);
      symlinkSync(join(elsewhere, 'novel'), join(folder, a));
      symlinkSync(join(elsewhere, 'nowhere'), join(folder, c));
      symlinkSync(join(elsewhere, 'other'), join(folder, b));
      linkSync(join(elsewhere, 'novel'), join(folder, config));
      await save({[a]: 'new', [c]: 'new', [config]: 'new'}, (path) => path === b);
      expect(contents()).to.deep.equal({[a]: 'new', [c]: 'new', [config]: 'new'});
      expect(contents(elsewhere)).to.deep.equal({novel: 'a novel', other: 'a novel'});
      // the folder itself may be named by a link
      symlinkSync(folder, join(elsewhere, 'link'));
      const sink = openSink('test', join(elsewhere, 'link'));
      await (await sink.create(more, 0)).close();
      await sink.commit(() => false);
      expect(readdirSync(folder)).to.include(more);
    } finally {
      rmSync(elsewhere, {recursive: true});
    }
  });

  it('are not opened where a list of what is left to do is a link, a pipe or a folder', async () => {
    const elsewhere = mkdtempSync(join(tmpdir(), 'owlore-elsewhere-'));
    const journal = join(folder, journalOf(dead));
    const list = JSON.stringify({renames: [], removals: [a]});
    try {
      put({list}, elsewhere);
      for (const make of [
        () => symlinkSync(join(elsewhere, 'list'), journal),
        () => symlinkSync(journal, journal),
        () => mkdirSync(journal),
        ...(process.platform === 'win32' ? [] : [() => spawnSync('mkfifo', [journal])]),
      ]) {
        put({[a]: 'old'});
        make();
        for (const body of [() => read(a), () => save({[b]: 'new'})])
          expect((await rejection(body())).message).to.match(
            /^test: '.*json' is not a file; remove it$/,
          );
        rmSync(journal, {recursive: true});
        expect(contents()).to.deep.equal({[a]: 'old'});
      }
    } finally {
      rmSync(elsewhere, {recursive: true});
    }
  });

  /** What a program leaves that was stopped in the middle: of two files one is in its place. */
  function stopInTheMiddle(writer: number, {machine = host, to = folder} = {}): void {
    const names = [shard1, shard2, config].map((path) => [temporary(path, writer), path]);
    const files = {
      ...{[shard1]: 'new', [shard2]: 'old', [shard3]: 'old'},
      [names[1]![0]!]: 'new',
      [names[2]![0]!]: 'new',
      [journalOf(writer, machine)]: JSON.stringify({renames: names, removals: [shard3]}),
    };
    put(files, to);
  }
  const complete = {[shard1]: 'new', [shard2]: 'new', [config]: 'new'};

  it('are as their program would have left them, when it was stopped in the middle', async () => {
    const openings: Array<() => Promise<unknown>> = [
      async () => expect(await read(shard2)).to.equal('new'),
      async () => expect(await listFiles('test', folder)).to.have.members(Object.keys(complete)),
      async () => save({[config]: 'new'}),
    ];
    const leave = [
      () => stopInTheMiddle(dead),
      () => stopInTheMiddle(dead, {machine: 'another-machine'}),
      // as in a container that was started again
      () => stopInTheMiddle(process.pid),
    ];
    for (const [i, stop] of leave.entries()) {
      stop();
      await openings[i % openings.length]!();
      expect(contents()).to.deep.equal(complete);
    }
    stopInTheMiddle(dead);
    await save({[more]: 'new'});
    expect(contents()).to.deep.equal({...complete, [more]: 'new'});
  });

  it('have no config for those who know no journals, as long as not all of a change is done', async () => {
    stopInTheMiddle(dead);
    put({[config]: 'old'});
    rmSync(join(folder, shard2));
    mkdirSync(join(folder, shard2));
    expect((await rejection(read(shard1))).message).to.match(
      /not all of them could be put in their/,
    );
    expect(contents(join(folder, shard2))).to.deep.equal({});
    expect(existsSync(join(folder, config))).to.equal(false);
    expect(readFileSync(join(folder, shard1), 'utf8')).to.equal('new');
    rmSync(join(folder, shard2), {recursive: true});
    expect(await read(config)).to.equal('new');
    expect(contents()).to.deep.equal(complete);
  });

  it('keep the last file that is in its place already', async () => {
    put({
      ...complete,
      [journalOf(dead)]: JSON.stringify({
        renames: [[temporary(config, dead), config]],
        removals: [],
      }),
    });
    expect(await read(config)).to.equal('new');
    expect(contents()).to.deep.equal(complete);
  });

  it('may be finished by another process while they are looked at', async () => {
    const {lstat, readdir, rename} = fs.promises;
    const journal = join(folder, journalOf(dead));
    const finish = (): void => rmSync(journal);
    for (const others of [
      {
        readdir: async (...args: Parameters<typeof readdir>) => {
          const names = await readdir(...args);
          if (existsSync(journal)) finish();
          return names;
        },
      },
      {
        lstat: async (...args: Parameters<typeof lstat>) => {
          const stats = await lstat(...args);
          if (args[0] === journal) finish();
          return stats;
        },
      },
    ]) {
      stopInTheMiddle(dead);
      const reading = withAsyncFunctions(others as never, () => read(shard1));
      expect(await reading).to.equal('new');
      expect(readFileSync(join(folder, shard2), 'utf8')).to.equal('old');
    }
    stopInTheMiddle(dead);
    const others = join(folder, journalOf(process.ppid));
    const taking = async (from: string, to: string): Promise<void> => {
      if (from === journal) await rename(journal, others);
      await rename(from, to);
    };
    const taken = withAsyncFunctions({rename: taking as typeof rename}, () => read(shard1));
    expect((await rejection(taken)).message).to.match(/^test: process \d+ is putting files/);
    expect(readFileSync(join(folder, shard2), 'utf8')).to.equal('old');
  });

  it('are finished once by several that open them at the same time', async () => {
    stopInTheMiddle(dead);
    const all = await Promise.all([shard1, shard2, config, shard3].map(read));
    expect(all).to.deep.equal(['new', 'new', 'new', null]);
    expect(contents()).to.deep.equal(complete);
  });

  it('are finished once by several processes', async () => {
    const names = Array.from({length: 80}, (_, i) => join(folder, `${100 + i}`));
    for (const name of names) {
      mkdirSync(name);
      stopInTheMiddle(dead, {to: name});
    }
    const args = [`${Date.now() + 1500}`, '15', ...names];
    const programs = Array.from({length: 3}, () =>
      startProgram('test/files/finish_in_process', args),
    );
    const results = await Promise.all(programs.map(resultOf));
    for (const name of names) expect(contents(name), name).to.deep.equal(complete);
    expect(results.map(({stderr}) => stderr).join('')).to.equal('');
  }).timeout(60_000);

  it('are left to a process that is at work for longer, with an error', async () => {
    stopInTheMiddle(process.ppid);
    const before = contents();
    expect((await rejection(read(shard1))).message).to.match(/^test: process \d+ is putting files/);
    expect(contents()).to.deep.equal(before);
  });

  for (const [what, writer, machine] of [
    ['a process that is at work', process.ppid, host],
    ['a process of another machine, which may be at work', dead, 'another-machine'],
  ] as const) {
    it(`are left to ${what}, for a second`, async () => {
      stopInTheMiddle(writer, {machine});
      const before = contents();
      const reading = read(shard2);
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(contents()).to.deep.equal(before);
      // it ends
      put(complete);
      for (const path of Object.keys(before)) {
        if (!(path in complete)) rmSync(join(folder, path));
      }
      expect(await reading).to.equal('new');
      expect(contents()).to.deep.equal(complete);
    });
  }

  it('stay as they are until all can be done', async () => {
    stopInTheMiddle(dead);
    rmSync(join(folder, shard2));
    mkdirSync(join(folder, shard2, 'in the way'), {recursive: true});
    expect((await rejection(read(config))).message).to.match(
      /new files are complete in .*, but not all of them could be put in their places: .* tries again/,
    );
    rmSync(join(folder, shard2), {recursive: true});
    expect(await read(config)).to.equal('new');
    expect(contents()).to.deep.equal(complete);
  });

  it('refuse a journal that is a stranger’s', async () => {
    const wrong = [
      {renames: []},
      {renames: [[temporary(a, 1), '../config.json']], removals: []},
      {renames: [['notes.txt', a]], removals: []},
      {renames: [[temporary('../x', 1), a]], removals: []},
      // names of the user's own files
      {renames: [[temporary(a, 1), 'notes.txt']], removals: []},
      {renames: [], removals: ['notes.txt']},
      {renames: [], removals: ['..']},
      {renames: [], removals: ['a/config.json']},
      // what is no list of pairs of names
      {
        renames: [
          [temporary(a, 1), a],
          ['notes.txt', a],
        ],
        removals: [],
      },
      {renames: [null], removals: []},
      {renames: [[temporary(a, 1), a, b]], removals: []},
      {renames: [{0: temporary(a, 1), 1: a, length: 2}], removals: []},
      {renames: [[[temporary(a, 1)], a]], removals: []},
      {renames: [], removals: [[a]]},
    ];
    for (const journal of wrong) {
      const files = {
        ...{[a]: 'old', 'notes.txt': 'mine', [temporary(a, 1)]: 'new'},
        [journalOf(dead)]: JSON.stringify(journal),
      };
      put(files);
      expect((await rejection(read(a))).message).to.match(
        /is not a list of files of a model or a checkpoint; .* remove it/,
      );
      expect(contents()).to.deep.equal(files);
    }
  });

  it('follow no journal that does not say whose it is', async () => {
    const files = {
      [a]: 'old',
      '.commit.json': JSON.stringify({renames: [], removals: [a]}),
    };
    put(files);
    expect(await read(a)).to.equal('old');
    expect(contents()).to.deep.equal(files);
  });

  it('get no files of other names', async () => {
    const {message} = await rejection(save({'notes.txt': 'new'}));
    expect(message).to.equal("test: 'notes.txt' is no name of a file of a model or a checkpoint");
    expect(contents()).to.deep.equal({});
  });

  it('lose the unfinished files of programs that are dead, no others', async () => {
    const kept = {
      [temporary('a', process.ppid)]: '',
      [temporary('a', dead, 'another-machine')]: '',
      [temporary('a', process.pid, host, Math.round(performance.timeOrigin))]: '',
      'a.partial': '',
    };
    put({...kept, [temporary('a', dead)]: ''});
    put({[temporary('a', process.pid)]: ''}); // as in a container that was started again
    await save({[b]: 'new'});
    expect(contents()).to.deep.equal({...kept, [b]: 'new'});
  });

  it('stay as they were where a file cannot be written', async () => {
    put({[a]: 'old', [b]: 'old'});
    mkdirSync(join(folder, c));
    const {message} = await rejection(save({[a]: 'new', [c]: 'new'}));
    expect(message).to.match(
      /'.*vocab.json' is a folder, where a file is to be written; move it away/,
    );
    rmSync(join(folder, c), {recursive: true});
    expect(contents()).to.deep.equal({[a]: 'old', [b]: 'old'});
    const inFile = openSink('test', join(folder, a, 'b'));
    expect((await rejection(inFile.create('x', 1))).message).to.match(
      /^test: cannot write to the folder '.*': E.*; the files that were in it are as they were$/,
    );
    await inFile.abort();
    const missing = openSink('test', '/dev/full');
    expect((await rejection(missing.create('x', 1))).message).to.match(
      /cannot write to the folder/,
    );
  });

  it('stay as they were where the disk fails', async () => {
    put({[a]: 'old'});
    const error = await rejection(withBroken('sync', () => save({[a]: 'new'})));
    expect(error.message).to.match(
      /^test: cannot write to the folder '.*': EIO.*; the files that were in it are as they were$/,
    );
    // by which a program tells what to do
    expect((error.cause as NodeJS.ErrnoException).code).to.equal('EIO');
    expect(contents()).to.deep.equal({[a]: 'old'});
    // the list of what is to be done, when all else is written
    const deciding = await rejection(withBroken('sync', () => save({[a]: 'new'}), 1));
    expect(deciding.message).to.match(/^test: cannot write to the folder '.*': EIO/);
    expect(contents()).to.deep.equal({[a]: 'old'});
  });

  it('get the new ones, once these are complete, where the disk fails after that', async () => {
    put({[a]: 'old'});
    // after the list of what is to be done, whose bytes are synced
    const saving = withBroken('sync', () => save({[a]: 'new'}), 2);
    const error = await rejection(saving);
    expect(error.message).to.match(
      /^test: new files are complete in '.*', but not all of them could be put in their places: EIO/,
    );
    expect((error.cause as NodeJS.ErrnoException).code).to.equal('EIO');
    expect(await read(a)).to.equal('new');
    expect(contents()).to.deep.equal({[a]: 'new'});
  });

  it('are not synced on Windows, which refuses that', async () => {
    const {platform} = process;
    Object.defineProperty(process, 'platform', {value: 'win32'});
    try {
      await withBroken('sync', () => save({[a]: 'new'}), 2);
    } finally {
      Object.defineProperty(process, 'platform', {value: platform});
    }
    expect(contents()).to.deep.equal({[a]: 'new'});
  });

  it('may be gone when it is given up', async () => {
    const deep = join(folder, 'a');
    const sink = openSink('test', deep);
    await (await sink.create(a, 0)).close();
    rmSync(deep, {recursive: true});
    await sink.abort();
    expect(contents()).to.deep.equal({});
  });

  it('stay as they were when it is given up', async () => {
    put({[a]: 'old'});
    const sink = openSink('test', folder);
    const file = await sink.create(a, 3);
    await file.write(new TextEncoder().encode('new'));
    expect((await rejection(sink.create(`none/${b}`, 1))).message).to.match(/cannot write to/);
    await file.close();
    await sink.abort();
    expect(contents()).to.deep.equal({[a]: 'old'});
  });

  it('are made with those around them', async () => {
    const deep = join(folder, 'a', 'b');
    const sink = openSink('test', deep);
    await (await sink.create(a, 0)).close();
    await sink.commit(() => false);
    expect(contents(deep)).to.deep.equal({[a]: ''});
  });

  it('stay as they were where the disk is full', async function () {
    const isMade = await onSmallDisk(folder, async () => {
      put({[a]: 'old'});
      const error = await rejection(save({[a]: 'new', [b]: 'x'.repeat(100_000)}));
      expect(error.message).to.match(/cannot write to the folder '.*': ENOSPC.*are as they were/);
      expect(contents()).to.deep.equal({[a]: 'old'});
      spawnSync('mount', ['-o', 'remount,ro', folder]);
      expect((await rejection(save({[a]: 'new'}))).message).to.match(/: EROFS/);
      expect(contents()).to.deep.equal({[a]: 'old'});
    });
    if (!isMade) return this.skip();
    expect(existsSync(join(folder, a))).to.equal(false);
  });
});
