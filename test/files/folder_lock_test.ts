import {execFileSync, spawn, type ChildProcess} from 'node:child_process';
import fs, {
  copyFileSync,
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
import {setTimeout as sleep} from 'node:timers/promises';
import {expect} from 'chai';
import {checkUnlocked, lockFolder, LOCK_NAME} from '../../src/files/folder_lock';
import {brokenDisk, withFunctions} from '../support/broken_files';
import {startProgram} from '../support/programs';

describe('lockFolder', function () {
  this.timeout(120_000);
  let folder: string;
  beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'owlore-lock-'))));
  afterEach(() => rmSync(folder, {recursive: true}));

  const lock = () => lockFolder('test', folder);

  const left = '01234567-89ab-cdef-0123-456789abcdef';
  /** A lock as a process would have left it. */
  function leaveLock(holder: object | string): void {
    mkdirSync(join(folder, LOCK_NAME));
    const text = typeof holder === 'string' ? holder : JSON.stringify(holder);
    writeFileSync(join(folder, LOCK_NAME, left), text);
  }

  it('is taken once, names its process, and leaves nothing behind', () => {
    const held = lock();
    const message = `test: the folder '${folder}' is in use by process ${process.pid} since 20`;
    expect(lock).to.throw(message);
    expect(() => checkUnlocked('test', folder)).to.throw(message);
    expect(readdirSync(folder)).to.deep.equal([LOCK_NAME]);
    held.release();
    expect(readdirSync(folder)).to.deep.equal([]);
    checkUnlocked('test', folder);
    lock().release();
  });

  it('is no longer held if the lock or the folder is gone, also if another one is in its place', () => {
    const held = lock();
    expect(held.isHeld()).to.equal(true);
    rmSync(join(folder, LOCK_NAME), {recursive: true});
    expect(held.isHeld()).to.equal(false);
    const other = lock();
    expect([held.isHeld(), other.isHeld()]).to.deep.equal([false, true]);
    held.release();
    expect(other.isHeld()).to.equal(true);
  });

  const now = new Date().toISOString();
  for (const [what, holder] of [
    ['a dead process', {host: hostname(), pid: 2 ** 22 + 1, processStart: 0, since: now}],
    ['an earlier process of its number', {host: hostname(), pid: process.pid, processStart: 1}],
    ['a machine that went down as it was written', ''],
  ] as const) {
    it(`is taken over from ${what}`, () => {
      leaveLock(holder);
      const held = lock();
      expect(readdirSync(join(folder, LOCK_NAME))).not.to.include(left);
      held.release();
      expect(readdirSync(folder)).to.deep.equal([]);
    });
  }

  it('is not taken for one where a link, a file or a folder of another kind has its name', () => {
    const elsewhere = mkdtempSync(join(tmpdir(), 'owlore-elsewhere-'));
    const novel = join(elsewhere, left);
    writeFileSync(novel, 'a novel');
    const place = join(folder, LOCK_NAME);
    const expectRefused = (message: RegExp): void => {
      expect(lock).to.throw(message);
      expect(() => checkUnlocked('test', folder)).to.throw(message);
      expect(readdirSync(folder)).to.deep.equal([LOCK_NAME]);
      rmSync(place, {recursive: true});
    };
    try {
      symlinkSync(elsewhere, place);
      expectRefused(
        /^test: '.*\.lock' is a link, where the lock on the folder would be; remove it$/,
      );
      symlinkSync(join(elsewhere, 'nowhere'), place);
      expectRefused(/is a link/);
      writeFileSync(place, '');
      expectRefused(/is a file/);
      mkdirSync(place);
      symlinkSync(novel, join(place, left));
      expectRefused(
        /^test: '.*\.lock.0123.*' is of no lock, which '.*\.lock' would be; move it away$/,
      );
      mkdirSync(place);
      writeFileSync(join(place, 'novel.txt'), '');
      expectRefused(/novel\.txt' is of no lock/);
      expect(readFileSync(novel, 'utf8')).to.equal('a novel');
    } finally {
      rmSync(elsewhere, {recursive: true});
    }
  });

  it('is not taken over from another machine, of which nothing can be known', () => {
    leaveLock({host: 'elsewhere', pid: 2 ** 22 + 1, processStart: 0, since: now});
    expect(lock).to.throw(
      /by process 4194305 on the machine 'elsewhere' since .*remove '.*\.lock'/,
    );
  });

  it('is not read where it has more than any lock', () => {
    leaveLock('x'.repeat(10_001));
    expect(lock).to.throw(/' has 10001 bytes, where no more than 10000 can be in it$/);
    expect(readdirSync(folder)).to.deep.equal([LOCK_NAME]);
    rmSync(join(folder, LOCK_NAME), {recursive: true});
    leaveLock('x'.repeat(10_000));
    lock().release();
  });

  it('is an error in a folder that is not there', () => {
    expect(() => lockFolder('test', join(folder, 'none'))).to.throw(/ENOENT/);
    expect(readdirSync(folder)).to.deep.equal([]);
  });

  it('is taken where it is given back while it is looked at', () => {
    const held = lock();
    const {readdirSync: original} = fs;
    const releasing = (path: string): string[] => {
      held.release();
      return original(path);
    };
    withFunctions({readdirSync: releasing as typeof original}, lock).release();
    expect(readdirSync(folder)).to.deep.equal([]);
  });

  it('is an error where the system does not let it be read, taken or given back', () => {
    const fails = (what: string) => () => {
      throw brokenDisk(what);
    };
    expect(() => withFunctions({renameSync: fails('rename')}, lock)).to.throw(/^EIO.*rename/);
    expect(readdirSync(folder)).to.deep.equal([]);
    const held = lock();
    expect(() => withFunctions({readdirSync: fails('scandir')}, lock)).to.throw(/^EIO.*scandir/);
    expect(() => withFunctions({rmdirSync: fails('rmdir')}, held.release)).to.throw(/^EIO.*rmdir/);
    held.release();
  });

  it('is held where Windows says EPERM, which is an error elsewhere', () => {
    const {platform} = process;
    const held = lock();
    const renameSync = (): never => {
      throw Object.assign(new Error('EPERM: operation not permitted, rename'), {code: 'EPERM'});
    };
    try {
      for (const [value, message] of [
        ['win32', /is in use by process/],
        ['linux', /^EPERM/],
      ] as const) {
        Object.defineProperty(process, 'platform', {value});
        expect(() => withFunctions({renameSync}, lock)).to.throw(message);
      }
    } finally {
      Object.defineProperty(process, 'platform', {value: platform});
    }
    held.release();
  });

  it('is held where the system does not say how a process has ended', () => {
    const held = lock();
    const {readFileSync: original} = fs;
    const silent = ((...args: Parameters<typeof original>) => {
      if (String(args[0]).startsWith('/proc/')) throw brokenDisk('read');
      return original(...args);
    }) as typeof original;
    const locking = (): unknown => withFunctions({readFileSync: silent}, lock);
    expect(locking).to.throw(`is in use by process ${process.pid}`);
    held.release();
  });

  it('is shared with a process, until that is dead or does not share it any more', async () => {
    const sleeper = spawn('sleep', ['600']);
    const message = `is in use by process ${sleeper.pid} since 20`;
    const held = lock();
    const end = held.shareWith(sleeper.pid!);
    held.release();
    expect(held.isHeld()).to.equal(false);
    for (const take of [lock, () => checkUnlocked('test', folder)]) expect(take).to.throw(message);
    end();
    const again = lock();
    again.shareWith(sleeper.pid!);
    again.release();
    expect(lock).to.throw(message);
    await kill(sleeper);
    lock().release();
    expect(readdirSync(folder)).to.deep.equal([]);
  });

  it('is held by what a process has shared it with when that process is killed', async () => {
    const sleeper = spawn('sleep', ['600']);
    const [first] = await race(1, String(sleeper.pid));
    expect(first!.said).to.equal('locked\n');
    await kill(first!.child);
    expect(lock).to.throw(`is in use by process ${sleeper.pid} since 20`);
    await kill(sleeper);
    lock().release();
    expect(readdirSync(folder)).to.deep.equal([]);
  });

  it('is not held by a dead process of which nobody has asked how it ended', async function () {
    if (process.platform !== 'linux') this.skip();
    // ends after sleep has taken the place of the shell, and asks for nothing that the shell has started
    const parent = spawn('sh', ['-c', 'sleep 0.2 & echo $!; exec sleep 600']);
    const pid = Number(await new Promise((resolve) => parent.stdout.once('data', resolve)));
    const held = lock();
    held.shareWith(pid);
    held.release();
    while (!readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')) await sleep(10);
    lock().release();
    // that number is of another process there
    leaveLock({host: 'elsewhere', pid, processStart: 0, since: now});
    expect(lock).to.throw("on the machine 'elsewhere'");
    await kill(parent);
  });

  it('is held by a process whose name looks like the end of one', async function () {
    if (process.platform !== 'linux') this.skip();
    const program = join(folder, 'x) Z 1 y');
    copyFileSync(execFileSync('which', ['sleep'], {encoding: 'utf8'}).trim(), program);
    const sleeper = spawn(program, ['600']);
    await new Promise((resolve) => sleeper.once('spawn', resolve));
    const held = lock();
    held.shareWith(sleeper.pid!);
    held.release();
    expect(lock).to.throw(`is in use by process ${sleeper.pid}`);
    await kill(sleeper);
    lock().release();
  });

  it('is taken over by one of several processes after its process was killed', async () => {
    const [first] = await race(1);
    expect(first!.said).to.equal('locked\n');
    await kill(first!.child);
    const racers = await race(5);
    const [winner, ...others] = [...racers].sort((a) => (a.said === 'locked\n' ? -1 : 1));
    expect(winner!.said).to.equal('locked\n');
    for (const {said} of others) expect(said).to.include(`process ${winner!.child.pid} since`);
    const [name, ...more] = readdirSync(join(folder, LOCK_NAME));
    expect(more).to.deep.equal([]);
    const {pid} = JSON.parse(readFileSync(join(folder, LOCK_NAME, name!), 'utf8')) as {pid: number};
    expect(pid).to.equal(winner!.child.pid);
    for (const {child} of racers) await kill(child);
  });

  /** Starts processes that lock the folder; resolves when each has said what came of it. */
  function race(
    count: number,
    ...more: string[]
  ): Promise<Array<{child: ChildProcess; said: string}>> {
    return Promise.all(
      Array.from({length: count}, async () => {
        const child = startProgram('test/files/lock_in_process', [folder, ...more]);
        const said = await new Promise<string>((resolve) => {
          child.stdout!.once('data', (text: Buffer) => resolve(text.toString()));
        });
        return {child, said};
      }),
    );
  }

  function kill(child: ChildProcess): Promise<unknown> {
    const closed = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGKILL');
    return closed;
  }
});
