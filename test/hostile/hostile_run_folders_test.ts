import {spawnSync} from 'node:child_process';
import {
  cpSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {expect} from 'chai';
import {NAMES} from '../../src/cli/run_files';
import {RunFolder} from '../../src/cli/run_folder';
import {UsageError} from '../../src/cli/usage_error';
import {createRandom} from '../../src/common/random';
import {thorough} from '../support/backends';
import {fuzz} from '../support/fuzz';
import {startProgram} from '../support/programs';
import {digits, uses, write} from './use_run_folder';

/** What is below a folder: files with their contents, and links with where they lead. */
function treeOf(folder: string, path = ''): Record<string, string> {
  const tree: Record<string, string> = {};
  for (const name of readdirSync(join(folder, path))) {
    const inner = join(path, name);
    const stats = lstatSync(join(folder, inner));
    if (stats.isDirectory()) Object.assign(tree, {[inner]: 'folder'}, treeOf(folder, inner));
    else if (stats.isSymbolicLink()) tree[inner] = `→ ${readlinkSync(join(folder, inner))}`;
    else tree[inner] = stats.isFile() ? readFileSync(join(folder, inner), 'utf8') : 'other';
  }
  return tree;
}

describe('the folder of a run that others have written to', function () {
  this.timeout(60_000);
  let top: string;
  let elsewhere: string;
  let count = 0;
  /** Runs as they may be found: stopped, complete, and complete with a newer one that was stopped. */
  const states: Record<string, string> = {};
  before(async () => {
    top = mkdtempSync(join(tmpdir(), 'owlore-hostile-runs-'));
    elsewhere = join(top, 'elsewhere');
    mkdirSync(join(elsewhere, 'folder'), {recursive: true});
    writeFileSync(join(elsewhere, 'novel.txt'), 'a novel');
    for (const name of ['novel.txt', 'config.json', `${digits}.safetensors`, 'job.json'])
      writeFileSync(join(elsewhere, 'folder', name), 'a novel');
    for (const name of ['stopped', 'complete', 'replacing']) {
      const path = (states[name] = join(top, name));
      await write(RunFolder.open('test', path, false), 1, name !== 'stopped');
      if (name === 'replacing') await write(RunFolder.open('test', path, true), 1, false);
    }
  });
  after(() => rmSync(top, {recursive: true}));

  const copyOf = (state: string): string => {
    const path = join(top, `run${count++}`);
    cpSync(states[state]!, path, {recursive: true});
    return path;
  };

  const intruders: Record<string, (place: string) => void> = {
    'a link to a file': (place) => symlinkSync(join(elsewhere, 'novel.txt'), place),
    'a link to a folder': (place) => symlinkSync(join(elsewhere, 'folder'), place),
    'a link that leads nowhere': (place) => symlinkSync(join(elsewhere, 'new'), place),
    'a pipe': (place) => void spawnSync('mkfifo', [place]),
    'a folder': (place) => {
      mkdirSync(place);
      writeFileSync(join(place, 'novel.txt'), 'a novel');
    },
  };

  const top1 = [
    ...Object.values(NAMES),
    'model.partial',
    'adapter.partial',
    'unfinished',
    'finished',
  ];
  const inner = [
    ...['model/config.json', 'model/novel.txt', 'model.partial/x', 'adapter/config.json'],
    ...[`checkpoints/${digits}.safetensors`, 'checkpoints/x', 'torch/model', 'torch/job.json'],
    ...['torch/model/x', 'torch/stop', 'tensorboard/events.out.tfevents.1.b', '.lock', '.lock/x'],
    ...['unfinished/novel.txt', 'finished/notes.txt'],
  ];
  const names = [...top1, ...inner, ...[...top1, ...inner].map((name) => `unfinished/${name}`)];

  for (const [k, [what, put]] of Object.entries(intruders).entries()) {
    if (process.platform === 'win32' && what !== 'a folder') continue;
    for (const [j, [use, run]] of Object.entries(uses).entries()) {
      // each name is tried with each intruder: if not in each use, in another one than with the intruder before
      const tried = names.filter((_, i) => thorough || (i + k) % Object.keys(uses).length === j);
      it(`is refused, and nothing changed, where ${what} has a name of the run's: ${use}`, async () => {
        const found = use === '--resume' ? ['stopped', 'replacing'] : ['replacing', 'complete'];
        for (const state of found.slice(0, thorough ? 2 : 1)) {
          for (const name of tried) {
            const path = copyOf(state);
            const place = join(path, name);
            if (name.startsWith('unfinished/') && !existsSync(join(path, 'unfinished'))) continue;
            if (name.startsWith('unfinished/.lock')) continue;
            rmSync(place, {recursive: true, force: true});
            mkdirSync(dirname(place), {recursive: true});
            put(place);
            const before = treeOf(path);
            const others = treeOf(elsewhere);
            let error: unknown;
            await run(path).catch((cause: unknown) => (error = cause));
            const about = `${state}, ${name}: ${String(error)}`;
            expect(treeOf(elsewhere), about).to.deep.equal(others);
            expect(treeOf(path), about).to.deep.equal(before);
            expect(error, about).to.be.instanceOf(UsageError);
            expect((error as Error).message, about).to.match(
              /move it away|remove it|has no (files\.jsonl|config\.json)|take another one|has come to its end|'.*run\d+' is (a file|not)/,
            );
            rmSync(path, {recursive: true});
          }
        }
      });
    }
  }

  it('keeps what is not on the list of the run', async () => {
    for (const [state, use, place] of [
      ['complete', '--overwrite', 'model/README.md'],
      ['complete', '--overwrite', 'scores.json'],
      ['replacing', '--overwrite', 'unfinished/novel.txt'],
      ['replacing', '--resume', 'unfinished/report.html'],
      ['stopped', '--resume', 'report.html'],
      ['stopped', '--overwrite', `tensorboard/events.out.tfevents.9.other`],
    ] as const) {
      const path = copyOf(state);
      const list = join(path, place.startsWith('unfinished') ? 'unfinished' : '', NAMES.list);
      const listed = readFileSync(list, 'utf8');
      // as if the run had never written it
      writeFileSync(list, listed.replace(`${JSON.stringify(place)}\n`, ''));
      writeFileSync(join(path, place), 'a novel');
      const before = treeOf(path);
      let error: unknown;
      await uses[use]!(path).catch((cause: unknown) => (error = cause));
      expect(String(error)).to.match(/is a file that is not of the run/);
      expect(treeOf(path)).to.deep.equal(before);
    }
  });

  it('keeps all else beside the run', async () => {
    for (const [state, use] of [
      ['complete', '--overwrite'],
      ['replacing', '--overwrite'],
      ['replacing', '--resume'],
      ['stopped', '--resume'],
      ['stopped', '--overwrite'],
    ] as const) {
      const path = copyOf(state);
      const beside = {
        ...{'novel.txt': 'a novel', 'log.jsonl.partial': 'mine', 'config.json.partial': 'mine'},
      };
      for (const [name, text] of Object.entries(beside)) writeFileSync(join(path, name), text);
      mkdirSync(join(path, 'novels'));
      symlinkSync(elsewhere, join(path, 'elsewhere'));
      symlinkSync(join(elsewhere, 'novel.txt'), join(path, 'report.html.partial'));
      const others = treeOf(elsewhere);
      await uses[use]!(path);
      expect(treeOf(elsewhere)).to.deep.equal(others);
      const names = ['adapter', 'config.json', 'files.jsonl', 'log.jsonl', 'model', 'report.html'];
      const more = ['block-history.json', 'scores.json', 'tensorboard', 'torch.log'];
      const mine = [...Object.keys(beside), 'elsewhere', 'novels', 'report.html.partial'];
      expect(readdirSync(path).sort()).to.deep.equal([...names, ...more, ...mine].sort());
    }
  });

  it('is no run where it has its files and not its list, or a list of something else', async () => {
    const path = copyOf('complete');
    rmSync(join(path, NAMES.list));
    const long = `${readFileSync(join(states['complete']!, NAMES.list), 'utf8')}${' '.repeat(1e6)}`;
    for (const list of [null, '', '{}\n"config.json"\n', '["config.json"]', long]) {
      if (list !== null) writeFileSync(join(path, NAMES.list), list);
      const before = treeOf(path);
      for (const [use, run] of Object.entries(uses)) {
        let error: unknown;
        await run(path).catch((cause: unknown) => (error = cause));
        expect(String(error), use).to.match(
          /is not that of an earlier run|no files\.jsonl|not of the|no more than 1000000/,
        );
        expect(treeOf(path), use).to.deep.equal(before);
      }
    }
  });

  it('has nothing removed that a list names outside the names of runs', async () => {
    for (const listed of [
      'novel.txt',
      '../elsewhere/novel.txt',
      'model/novel.txt',
      '/etc/hosts',
      '.',
      '/',
    ]) {
      const path = copyOf('complete');
      writeFileSync(join(path, 'novel.txt'), 'a novel');
      const list = join(path, NAMES.list);
      writeFileSync(list, `${readFileSync(list, 'utf8')}${JSON.stringify(listed)}\n7\n{"a`);
      const others = treeOf(elsewhere);
      await uses['--overwrite']!(path);
      expect(treeOf(elsewhere)).to.deep.equal(others);
      expect(readFileSync(join(path, 'novel.txt'), 'utf8')).to.equal('a novel');
    }
  });

  it('has a file as its own that it was making when it was killed, under a name that TensorFlow had chosen', async () => {
    for (const [isMade, name] of [
      [false, 'events.out.tfevents.9.z'],
      [true, 'events.out.tfevents.9.z'],
      [false, 'novel.txt'],
    ] as const) {
      const path = copyOf('stopped');
      const list = join(path, NAMES.list);
      const folder = 'tensorboard/';
      const lines = [false, ...(isMade ? [true] : [])].map((isMade) =>
        JSON.stringify({folder, isMade}),
      );
      writeFileSync(list, `${readFileSync(list, 'utf8')}${lines.join('\n')}\n`);
      const file = join(path, folder, name);
      writeFileSync(file, 'made');
      const error = await uses['--resume']!(path).then(
        () => null,
        (cause: unknown) => String(cause),
      );
      if (!isMade && name !== 'novel.txt')
        expect([error, existsSync(file)]).to.deep.equal([null, false]);
      else expect(error).to.contain(`${file}' is a file that is not of the run`);
    }
  });

  it('is written to without a change of the same files elsewhere, of which it has second names', async () => {
    for (const [state, use] of [
      ['stopped', '--resume'],
      ['replacing', '--resume'],
      ['complete', '--overwrite'],
    ] as const) {
      const path = copyOf(state);
      const backup = `${path}-backup`;
      const copy = (from: string, to: string): void => {
        mkdirSync(to);
        for (const each of readdirSync(from, {withFileTypes: true})) {
          if (each.isDirectory()) copy(join(from, each.name), join(to, each.name));
          else linkSync(join(from, each.name), join(to, each.name));
        }
      };
      copy(path, backup);
      const before = treeOf(backup);
      await uses[use]!(path);
      expect(treeOf(backup)).to.deep.equal(before);
    }
  });

  it('may be named by a link, which is followed', async () => {
    for (const [state, use] of [
      ['stopped', '--resume'],
      ['complete', '--overwrite'],
    ] as const) {
      const path = copyOf(state);
      const link = `${path}-link`;
      symlinkSync(path, link);
      await uses[use]!(link);
      expect(readlinkSync(link)).to.equal(path);
      expect(readdirSync(path)).to.include.members(['model', 'report.html']);
      expect(readdirSync(path)).not.to.include.oneOf(['checkpoints', 'torch', 'unfinished']);
    }
  });

  it('keeps whatever lies there, in any number, under any use', async () => {
    const {numRuns = 0, seed = 1} = fuzz(thorough ? 100 : 20);
    const random = createRandom(seed);
    const oneOf = <T>(values: readonly T[]): T =>
      values[Math.floor(random.next() * values.length)]!;
    const kinds = Object.entries(intruders);
    const others = treeOf(elsewhere);
    for (let i = 0; i < numRuns; i++) {
      const path = copyOf(oneOf(Object.keys(states)));
      const put: string[] = [];
      for (let left = Math.floor(4 * random.next()); left > 0; left--) {
        // some beside the names of runs
        const name = `${oneOf(names)}${random.next() < 0.5 ? '' : oneOf(['.partial', '~', '1'])}`;
        const place = join(path, name);
        const isBelowOther = put.some(
          (one) => `${one}/`.startsWith(`${name}/`) || `${name}/`.startsWith(`${one}/`),
        );
        if (isBelowOther || name === NAMES.list || name === `unfinished/${NAMES.list}`) continue;
        rmSync(place, {recursive: true, force: true});
        mkdirSync(dirname(place), {recursive: true});
        oneOf(kinds)[1](place);
        put.push(name);
      }
      const before = treeOf(path);
      const mine = Object.entries(before).filter(([inner]) =>
        put.some((name) => inner === name || inner.startsWith(`${name}/`)),
      );
      const said: string[] = [];
      for (let times = 0; times < 2; times++) {
        const use = oneOf(Object.keys(uses));
        await uses[use]!(path).then(
          () => said.push(`${use}: done`),
          (error: unknown) => said.push(`${use}: ${String(error)}`),
        );
      }
      const about = `run ${i}, seed ${seed}: ${put.join(', ')}; ${said.join('; ')}`;
      expect(treeOf(elsewhere), about).to.deep.equal(others);
      const after = treeOf(path);
      for (const [inner, content] of mine)
        expect(after[inner], `${inner}: ${about}`).to.equal(content);
      expect(said.join(), about).not.to.match(/TypeError|ENOTDIR|EISDIR|ELOOP|EEXIST/);
      rmSync(path, {recursive: true});
    }
  }).timeout(0);

  it('is never taken for one after its process was killed, at any moment', async () => {
    const {numRuns = 0, seed = 1} = fuzz(thorough ? 12 : 3);
    const random = createRandom(seed);
    const path = join(top, 'killed');
    mkdirSync(path);
    writeFileSync(join(path, 'novel.txt'), 'a novel');
    for (let kills = 0; kills < numRuns; kills++) {
      const child = startProgram('test/hostile/run_in_process', [path]);
      let said = '';
      child.stderr!.on('data', (text: Buffer) => (said += text.toString()));
      const closed = new Promise((resolve) => child.once('close', resolve));
      await Promise.race([new Promise((resolve) => child.stdout!.once('data', resolve)), closed]);
      await new Promise((resolve) => setTimeout(resolve, 150 * random.next()));
      child.kill('SIGKILL');
      await closed;
      expect(said, `seed ${seed}, kill ${kills}`).to.equal('');
    }
    await uses['--overwrite']!(path);
    const left = readdirSync(path);
    expect(left).to.include.members(['novel.txt', 'model', 'report.html', NAMES.list]);
    expect(
      left.filter((name) =>
        /^\.(?!lock\.)|checkpoints|torch$|unfinished|finished|partial/.test(name),
      ),
    ).to.deep.equal([]);
  }).timeout(0);
});
