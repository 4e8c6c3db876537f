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
import {checkResumable, checkRunFolder, configToResume} from '../../src/cli/run_folder_checks';
import {UsageError} from '../../src/cli/usage_error';
import {openSink} from '../../src/files/sink';
import type {RunRecord} from '../../src/report/report';
import {thorough} from '../support/backends';

const digits = '0123456789abcdef'.repeat(2);
const step = {event: 'step' as const, loss: 1, learningRate: 1, blocks: [], seconds: 1};
const report: RunRecord = {
  ...{title: '', lead: '', method: '', backend: '', parameters: 1, seconds: 1, settings: {}},
  ...{scoreTitle: null, outsideBlocks: 'all', blocks: [], steps: [], heldOut: [], sample: null},
  memory: {method: {peak: 1, state: 1}, full: null},
};

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

async function saveFiles(target: string, ...names: string[]): Promise<void> {
  const sink = openSink('test', target);
  for (const name of names) {
    const file = await sink.create(name, 3);
    await file.write(Buffer.from('own'));
    await file.close();
  }
  await sink.commit(() => false);
}
const saveCheckpoint = (target: string): Promise<void> =>
  saveFiles(target, `${digits}.safetensors`, `checkpoint-000001-${digits}.json`);
const saveModel = (target: string): Promise<void> =>
  saveFiles(target, 'model.safetensors', 'config.json');

/** What a run does, up to its end or a step before. */
async function write(run: RunFolder, steps: number, isToEnd: boolean): Promise<void> {
  run.writeConfig({});
  run.writeScores({});
  run.keepHistory(() => ({blocks: [], interval: 1, periods: []}));
  run.append({...step, step: steps, peakBytes: 1});
  await run.saveCheckpoint(saveCheckpoint);
  run.makeTensorBoard((folder) => writeFileSync(join(folder, 'events.out.tfevents.1.a'), 'own'));
  run.makeJob();
  writeFileSync(join(run.job, 'job.json'), '{}');
  await saveModel(join(run.job, 'model'));
  run.makePythonLog();
  if (!isToEnd) {
    run.stop({state: 'interrupted'});
    return;
  }
  await run.saveAdapter((target) => saveFiles(target, 'adapter_model.safetensors'));
  await run.saveModel(saveModel);
  run.writeReport(report);
  run.finish();
}

/** The ways in which a command comes to write into a folder that has something in it. */
const uses: Record<string, (path: string) => Promise<void>> = {
  async '--resume'(path) {
    configToResume('--resume', path);
    checkResumable('--resume', path);
    const run = RunFolder.resume('--resume', path);
    try {
      expect(run.rewindLog(1)).to.have.length(1);
      await write(run, 2, true);
    } catch (error) {
      run.stop({state: 'failed', error: ''});
      throw error;
    }
  },
  async '--overwrite'(path) {
    checkRunFolder('--output', path, true);
    const run = RunFolder.open('--output', path, true);
    try {
      await write(run, 1, true);
    } catch (error) {
      run.stop({state: 'failed', error: ''});
      throw error;
    }
  },
};

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

  for (const [what, put] of Object.entries(intruders)) {
    if (process.platform === 'win32' && what !== 'a folder') continue;
    for (const [use, run] of Object.entries(uses)) {
      it(`is refused, and nothing changed, where ${what} has a name of the run's: ${use}`, async () => {
        const found = use === '--resume' ? ['stopped', 'replacing'] : ['replacing', 'complete'];
        for (const state of found.slice(0, thorough ? 2 : 1)) {
          for (const name of names) {
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
      const more = ['schedule.json', 'scores.json', 'tensorboard', 'torch.log'];
      const mine = [...Object.keys(beside), 'elsewhere', 'novels', 'report.html.partial'];
      expect(readdirSync(path).sort()).to.deep.equal([...names, ...more, ...mine].sort());
    }
  });

  it('is no run where it has its files and not its list, or a list of something else', async () => {
    const path = copyOf('complete');
    rmSync(join(path, NAMES.list));
    for (const list of [null, '', '{}\n"config.json"\n', '["config.json"]']) {
      if (list !== null) writeFileSync(join(path, NAMES.list), list);
      const before = treeOf(path);
      for (const [use, run] of Object.entries(uses)) {
        let error: unknown;
        await run(path).catch((cause: unknown) => (error = cause));
        expect(String(error), use).to.match(
          /is not that of an earlier run|no files\.jsonl|not of the/,
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
});
