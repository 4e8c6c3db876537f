import {spawnSync, type ChildProcess} from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import {dirname, join} from 'node:path';
import {expect} from 'chai';
import {stopSignals, type StopSignal} from '../../src/cli/interruption';
import {RunFolder} from '../../src/cli/run_folder';
import {UsageError} from '../../src/cli/usage_error';
import {loadLlama} from '../../src/llama';
import {fastBackend, itAtLength, thorough} from '../support/backends';
import {resultOf} from '../support/programs';
import {rejection} from '../support/rejection';
import {onSmallDisk} from '../support/small_disk';
import {inLog, start} from './cli_process';
import {createModelFolder, texts, type ModelFolder} from './model_folder';
import {runCli, type CliRun} from './run_cli';

/** All files below a folder, and what is in them. */
function contentOf(folder: string): Record<string, string> {
  const files = readdirSync(folder, {recursive: true, withFileTypes: true});
  return Object.fromEntries(
    files
      .filter((file) => file.isFile())
      .map((file) => join(file.parentPath, file.name))
      .sort()
      .map((path) => [path, readFileSync(path, 'latin1')]),
  );
}

describe('the folder of a run', function () {
  this.timeout(120_000);
  let folder: ModelFolder;
  let data: string;
  let count = 0;
  before(async () => {
    folder = await createModelFolder();
    data = folder.writeLines('texts.jsonl', texts(30));
  });
  after(() => folder.remove());

  const newOutput = (): string => join(folder.path, `run${count++}`);

  const argsOf = (output: string, ...more: string[]): string[] => [
    ...['finetune', '--backend', fastBackend, '--model', folder.model, '--data', data],
    ...['--output', output, '--max-length', '12', ...more],
  ];

  const finetune = (output: string, ...more: string[]): Promise<CliRun> =>
    runCli(argsOf(output, ...more));

  /** A run that does not end by itself. */
  const startEndless = (output: string, ...more: string[]): ChildProcess =>
    start(
      argsOf(output, '--steps', '100000', '--evaluate-every', '100000', '--interval', '1', ...more),
    );

  /** A short run that came to its end; returns its folder. */
  async function finished(...more: string[]): Promise<string> {
    const output = newOutput();
    const {code, stderr} = await finetune(output, '--steps', '1', ...more);
    expect(code, stderr).to.equal(0);
    return output;
  }

  const lastEntry = (output: string): unknown =>
    JSON.parse(readFileSync(join(output, 'log.jsonl'), 'utf8').trimEnd().split('\n').at(-1)!);

  it('is refused at once where nothing may be written', async function () {
    const place = newOutput();
    mkdirSync(place, {mode: 0o555});
    // root may write into any folder, but not to a disk that is mounted so
    const isRoot = process.getuid?.() === 0;
    const mount = ['-t', 'tmpfs', '-o', 'ro,size=64k', 'tmpfs', place];
    if (isRoot && spawnSync('mount', mount).status !== 0) return this.skip();
    if (process.platform === 'win32') return this.skip(); // has no such folders
    try {
      for (const output of [place, join(place, 'new', 'run')]) {
        const {code, stderr} = await finetune(output, '--overwrite');
        expect([code, stderr]).to.deep.equal([
          2,
          `error: finetune: --output: the folder '${place}' may not be written to (${isRoot ? 'EROFS' : 'EACCES'}); ` +
            'take another one, or change its permissions\n',
        ]);
      }
    } finally {
      if (isRoot) spawnSync('umount', [place]);
    }
  });

  it('is refused at once where no folder can be', async function () {
    const file = folder.write('file', '');
    for (const [output, message] of [
      [file, /--output must be a folder; '.*file' is a file/],
      [join(file, 'run'), /--output must be a folder; '.*file' is a file/],
      ['', /--output must be a path; got ''/],
      [
        join(folder.path, 'a', 'b'.repeat(300)),
        /'.*' is longer than a path, or a name in one, may/,
      ],
      // there mkdir with all parents does not come back
      ['/proc/run', /--output: the folder '\/proc' cannot have a folder 'run' \(ENOENT\); take/],
    ] as const) {
      if (output === '/proc/run' && process.platform !== 'linux') continue;
      const {code, stderr} = await finetune(output);
      expect(code, stderr).to.equal(2);
      expect(stderr).to.match(message);
    }
    expect(existsSync(join(folder.path, 'a'))).to.equal(false);
  });

  it('keeps its config, and says so, where the disk is full', async function () {
    const output = newOutput();
    mkdirSync(output);
    const long = 'x'.repeat(100_000);
    const isMade = await onSmallDisk(output, () => {
      const run = RunFolder.open('test', output, false);
      try {
        run.writeConfig({model: 'small'});
        expect(() => run.writeConfig({model: long})).to.throw(/ENOSPC/);
        expect(readFileSync(join(output, 'config.json'), 'utf8')).to.include('small');
        const partial = readdirSync(output).filter((name) => name.endsWith('.partial'));
        expect(partial).to.deep.equal([]);
        const step = {event: 'step', step: 1, loss: 1, learningRate: 1, seconds: 1} as const;
        const entry = {...step, peakBytes: 1, blocks: [long]};
        expect(() => run.append(entry)).to.throw(/ENOSPC/);
      } finally {
        try {
          run.stop({state: 'interrupted'});
        } catch {
          // it has no place for its last line
        }
      }
    });
    if (!isMade) this.skip();
  });

  it('leaves nothing of a model that could not be saved', async () => {
    const output = newOutput();
    const run = RunFolder.open('test', output, false);
    const saving = run.saveModel((target) => {
      mkdirSync(target, {recursive: true});
      writeFileSync(join(target, 'config.json'), '{}');
      return Promise.reject(new Error('no room'));
    });
    expect((await rejection(saving)).message).to.equal('no room');
    run.stop({state: 'failed', error: 'no room'});
    expect(readdirSync(output).filter((name) => name.includes('model'))).to.deep.equal([]);
    expect(lastEntry(output)).to.include({event: 'end', state: 'failed'});
  });

  for (const when of ['before', 'while'] as const) {
    it(`is left alone where another one came in its place ${when} the model is saved`, async () => {
      const output = newOutput();
      const run = RunFolder.open('test', output, false);
      const replaceFolder = (): void => {
        renameSync(output, `${output}-moved`);
        for (const name of ['model', 'model.partial']) {
          mkdirSync(join(output, name), {recursive: true});
          writeFileSync(join(output, name, 'config.json'), 'of another');
        }
        writeFileSync(join(output, 'log.jsonl'), '');
      };
      let isSaved = false;
      if (when === 'before') replaceFolder();
      const saving = run.saveModel((target) => {
        isSaved = true;
        mkdirSync(target, {recursive: true});
        writeFileSync(join(target, 'config.json'), '{}');
        replaceFolder();
        return Promise.resolve();
      });
      const message = /folder '.*' was removed, moved or replaced during the run/;
      expect((await rejection(saving)).message).to.match(message);
      expect(isSaved).to.equal(when === 'while');
      expect(() => run.stop({state: 'failed', error: 'moved'})).to.throw(message);
      expect(Object.values(contentOf(output))).to.deep.equal(['', 'of another', 'of another']);
    });
  }

  describe('does not take its inputs for something to overwrite', () => {
    /** A copy of the model in a folder of its own. */
    const copyOfModel = (): string => {
      const copy = newOutput();
      mkdirSync(copy);
      for (const name of readdirSync(folder.model)) {
        writeFileSync(join(copy, name), readFileSync(join(folder.model, name)));
      }
      return copy;
    };

    async function expectRefused(
      inside: string,
      output: string,
      option: string,
      ...more: string[]
    ): Promise<void> {
      const before = contentOf(inside);
      const {code, stderr} = await finetune(output, '--overwrite', '--steps', '1', ...more);
      expect(code, stderr).to.equal(2);
      expect(stderr).to.match(
        new RegExp(
          `error: finetune: ${option}: '.*' is in the folder '.*', which this run writes to`,
        ),
      );
      expect(contentOf(inside)).to.deep.equal(before);
    }

    it('the model as the output', async () => {
      const model = copyOfModel();
      await expectRefused(model, model, '--model', '--model', model);
    });

    it('by a link to the model, or to the output', async () => {
      const model = copyOfModel();
      const link = newOutput();
      symlinkSync(model, link);
      await expectRefused(model, link, '--model', '--model', model);
      await expectRefused(model, model, '--model', '--model', link);
    });

    it('a link in the output to a model elsewhere', async () => {
      const output = await finished();
      const link = join(output, 'base');
      symlinkSync(folder.model, link);
      await expectRefused(output, output, '--model', '--model', link);
    });

    for (const option of ['--data', '--validation', '--scores']) {
      it(`a file for ${option} in the output`, async () => {
        const output = await finished();
        const input = join(output, option === '--scores' ? 'scores.json' : 'texts.jsonl');
        if (option !== '--scores') writeFileSync(input, readFileSync(data));
        await expectRefused(output, output, option, option, input);
      });
    }

    it('the model of the run itself', async () => {
      const output = await finished();
      await expectRefused(output, output, '--model', '--model', join(output, 'model'));
    });

    it('a folder of something else', async () => {
      const model = copyOfModel();
      const before = contentOf(model);
      const {code, stderr} = await finetune(model, '--overwrite');
      expect([code, contentOf(model)]).to.deep.equal([2, before]);
      expect(stderr).to.match(/has config\.json, but is not that of an earlier run/);
    });
  });

  describe('changes nothing that is not of the run', () => {
    /** A run that was stopped; made once. */
    let stopped: string;
    let elsewhere: string;
    before(async () => {
      stopped = newOutput();
      const {code, stderr} = await runCli(
        argsOf(stopped, '--steps', '6', '--evaluate-every', '3'),
        null,
        'step 3: held-out loss',
      );
      expect(code, stderr).to.equal(stopSignals.SIGINT);
      elsewhere = newOutput();
      mkdirSync(join(elsewhere, 'folder'), {recursive: true});
      for (const name of ['novel.txt', 'config.json', `${'0'.repeat(32)}.safetensors`])
        writeFileSync(join(elsewhere, 'folder', name), 'a novel');
    });

    const copyOf = (run: string): string => {
      const output = newOutput();
      cpSync(run, output, {recursive: true});
      return output;
    };

    // what earlier versions wrote through, emptied, moved or removed
    for (const name of [
      ...['log.jsonl', 'config.json', 'block-history.json', 'scores.json'].map(
        (one) => `${one}.partial`,
      ),
      ...['report.html', 'model.partial', 'checkpoints', 'finished', '.lock', 'model', 'torch'],
      ...[
        'files.jsonl',
        'unfinished',
        'config.json',
        'log.jsonl',
        'block-history.json',
        'tensorboard',
      ],
    ]) {
      it(`where --resume finds a link as ${name}`, async () => {
        const isFolder = !name.includes('.') || ['.lock', 'model.partial'].includes(name);
        const target = join(elsewhere, 'folder', isFolder ? '' : 'novel.txt');
        const output = copyOf(stopped);
        rmSync(join(output, name), {recursive: true, force: true});
        symlinkSync(target, join(output, name));
        const others = contentOf(elsewhere);
        const before = contentOf(output);
        const {code, stderr} = await runCli(['finetune', '--resume', output]);
        expect(contentOf(elsewhere)).to.deep.equal(others);
        expect(readlinkSync(join(output, name))).to.equal(target);
        // of these names a run has no use
        expect(code, stderr).to.equal(/\.jsonl?\.partial$/.test(name) ? 0 : 2);
        if (code === 2) expect(contentOf(output)).to.deep.equal(before);
      });
    }

    for (const name of ['unfinished/novel.txt', 'model.partial/x', 'finished/notes.txt']) {
      it(`where --overwrite finds ${name}`, async () => {
        const output = await finished();
        mkdirSync(dirname(join(output, name)));
        writeFileSync(join(output, name), 'a novel');
        const before = contentOf(output);
        const {code, stderr} = await finetune(output, '--steps', '1', '--overwrite');
        expect(contentOf(output)).to.deep.equal(before);
        expect(code, stderr).to.equal(2);
        expect(stderr).to.include(`'${join(output, name)}' is a file that is not of the run in`);
      });
    }

    it('where --overwrite finds the files of something else, one of them a log.jsonl', async () => {
      const output = newOutput();
      mkdirSync(join(output, 'model'), {recursive: true});
      for (const name of ['log.jsonl', 'config.json', 'model/novel.txt'])
        writeFileSync(join(output, name), 'a novel');
      const before = contentOf(output);
      const {code, stderr} = await finetune(output, '--steps', '1', '--overwrite');
      expect(contentOf(output)).to.deep.equal(before);
      expect(code, stderr).to.equal(2);
      expect(stderr).to.match(
        /has config\.json, log\.jsonl, model, but is not that of an earlier run/,
      );
    });
  });

  describe('that has an earlier run', () => {
    it('keeps it if the new one fails', async () => {
      const output = await finished();
      const before = contentOf(output);
      const failing = ['--overwrite', '--steps', '5', '--learning-rate', '1e38'];
      const {code, stderr} = await finetune(output, ...failing);
      expect(code).to.equal(1);
      expect(stderr).to.include(
        `${output}: the earlier run stays until this one is done in ${join(output, 'unfinished')}\n`,
      );
      const after = contentOf(output);
      expect(after).to.deep.include(before);
      expect(lastEntry(join(output, 'unfinished'))).to.include({state: 'failed'});

      const again = await finetune(output, '--overwrite', '--steps', '2', '--method', 'full');
      expect(again.code, again.stderr).to.equal(0);
      // of the earlier run there would be scores and a block history
      const names = ['config.json', 'files.jsonl', 'log.jsonl', 'model', 'report.html'];
      expect(readdirSync(output).sort()).to.deep.equal(names);
      expect(again.stdout).to.include(join(output, 'model'));
      expect(readFileSync(join(output, 'config.json'), 'utf8')).to.include('"method": "full"');
    });

    it('keeps it if the new one is killed, and takes over from the dead process', async () => {
      const output = await finished();
      const before = contentOf(output);
      const child = startEndless(output, '--overwrite');
      const closed = resultOf(child);
      await inLog(closed, join(output, 'unfinished'), '"step":2');
      child.kill('SIGKILL');
      expect((await closed).signal).to.equal('SIGKILL');
      expect(contentOf(output)).to.deep.include(before);
      const {model} = await loadLlama(join(output, 'model'));
      model.dispose();

      const {code, stderr} = await finetune(output, '--overwrite', '--steps', '2');
      expect(code, stderr).to.equal(0);
      expect(readdirSync(output)).not.to.include('unfinished');
      expect(lastEntry(output)).to.deep.equal({event: 'end', state: 'done'});
    });

    it('goes on with replacing it where a process was killed', async () => {
      const output = await finished();
      const newer = await finished('--seed', '1');
      const expected = Object.values(contentOf(newer));
      // as if the process had been killed after the first of the files
      for (const name of readdirSync(output)) rmSync(join(output, name), {recursive: true});
      renameSync(newer, join(output, 'finished'));
      for (const name of ['model', 'config.json'])
        renameSync(join(output, 'finished', name), join(output, name));
      RunFolder.open('test', output, true).stop({state: 'interrupted'});
      rmSync(join(output, 'unfinished'), {recursive: true});
      expect(Object.values(contentOf(output))).to.deep.equal(expected);
    });

    it('is replaced where a process was killed when the new one was complete', async () => {
      const output = await finished();
      const newer = await finished('--seed', '1');
      const expected = Object.values(contentOf(newer));
      mkdirSync(join(newer, 'checkpoints'));
      renameSync(newer, join(output, 'unfinished'));
      expect(() => RunFolder.resume('test', output)).to.throw(/has come to its end/);
      expect(Object.values(contentOf(output))).to.deep.equal(expected);
      expect(readdirSync(output)).not.to.include.oneOf(['unfinished', 'checkpoints']);
    });

    it('is replaced in place if it has no model', async () => {
      const output = newOutput();
      const {code} = await finetune(output, '--steps', '5', '--learning-rate', '1e38');
      expect(code).to.equal(1);
      const {stderr} = await finetune(output, '--overwrite', '--steps', '1');
      expect(stderr).not.to.include('the earlier run stays');
      expect(lastEntry(output)).to.deep.equal({event: 'end', state: 'done'});
    });
  });

  describe('with a large log', () => {
    const step = {event: 'step' as const, loss: 1, learningRate: 1, blocks: [], seconds: 1};

    it('reads no more of it than until the step where it goes on', () => {
      const output = newOutput();
      const run = RunFolder.open('test', output, false);
      for (const i of [1, 2, 3]) run.append({...step, step: i, peakBytes: 1});
      run.stop({state: 'interrupted'});
      // what follows is no log
      writeFileSync(join(output, 'log.jsonl'), 'null\n{"event": "none"}\n', {flag: 'a'});
      const resumed = RunFolder.resume('test', output);
      expect(resumed.rewindLog(2).map((entry) => entry.step)).to.deep.equal([1, 2]);
      resumed.append({event: 'heldOut', step: 2, loss: 1});
      resumed.stop({state: 'interrupted'});
      const log = readFileSync(join(output, 'log.jsonl'), 'utf8').trimEnd().split('\n');
      expect(log.map((line) => (JSON.parse(line) as {event: string}).event)).to.deep.equal([
        ...['step', 'step', 'heldOut', 'end'],
      ]);
    });

    it('has come to its end if its last line says so', () => {
      const output = newOutput();
      RunFolder.open('test', output, false).stop({state: 'interrupted'});
      const log = join(output, 'log.jsonl');
      truncateSync(log, 600_000_000);
      writeFileSync(log, '\n{"event":"end","state":"done"}\n', {flag: 'a'});
      expect(() => RunFolder.resume('test', output)).to.throw(UsageError, 'has come to its end');
    });
  });

  for (const [what, list, message] of [
    [
      'of an older version',
      '{"format":"tfjs-owlore run","version":1}\n"log.jsonl"\n"config.json"\n',
      / is the run of another version of tfjs-owlore \(format 1; this one has 2\): go on with that one, or take/,
    ],
    [
      'of a newer version',
      '{"format":"tfjs-owlore run","version":99}\n"log.jsonl"\n"config.json"\n',
      / is the run of another version of tfjs-owlore \(format 99; this one has 2\): go on with that one, or take/,
    ],
    [
      'with a list that is too large',
      `{"format":"tfjs-owlore run","version":2}\n${'"log.jsonl"\n'.repeat(1e5)}"config.json"\n`,
      /files\.jsonl' has 1\d{6} bytes, where no more than 1000000 can be in it/,
    ],
  ] as const) {
    it(`${what} is refused by name, and left as it is`, async () => {
      const output = newOutput();
      mkdirSync(output);
      writeFileSync(join(output, 'files.jsonl'), list);
      writeFileSync(join(output, 'log.jsonl'), '');
      writeFileSync(
        join(output, 'config.json'),
        JSON.stringify({model: folder.model, data, output}),
      );
      const before = contentOf(output);
      for (const [option, {code, stderr}] of [
        ['--resume', await runCli(['finetune', '--resume', output])],
        ['--output', await finetune(output, '--steps', '1', '--overwrite')],
      ] as const) {
        expect(code, stderr).to.equal(2);
        expect(stderr.startsWith(`error: finetune: ${option}: '${output}`), stderr).to.equal(true);
        expect(stderr).to.match(message);
        expect(stderr).not.to.match(/\n {4}at /);
      }
      expect(contentOf(output)).to.deep.equal(before);
    });
  }

  it('is of one run at a time, and says whose', async () => {
    const output = newOutput();
    const child = startEndless(output);
    const closed = resultOf(child);
    await inLog(closed, output, '"step":1');
    const before = readFileSync(join(output, 'config.json'));
    for (const more of [[], ['--overwrite']]) {
      const {code, stderr} = await finetune(output, ...more);
      expect(code).to.equal(2);
      expect(stderr).to.match(
        new RegExp(
          `finetune: --output: the folder '.*' is in use by process ${child.pid} since 20`,
        ),
      );
    }
    expect(readFileSync(join(output, 'config.json'))).to.deep.equal(before);
    child.kill('SIGKILL');
    await closed;
    const {code, stderr} = await finetune(output, '--overwrite', '--steps', '1');
    expect(code, stderr).to.equal(0);
  });

  for (const [signal, exitCode] of Object.entries(stopSignals) as Array<[StopSignal, number]>) {
    if (!thorough && signal !== 'SIGTERM') continue;
    it(`says that ${signal} has stopped the run, exit code ${exitCode}`, async () => {
      const output = newOutput();
      const child = startEndless(output, '--json');
      const closed = resultOf(child);
      await inLog(closed, output, '"step":2');
      child.kill(signal);
      const {code, stdout, stderr} = await closed;
      expect(code).to.equal(exitCode);
      expect(lastEntry(output)).to.deep.equal({event: 'end', state: 'interrupted'});
      const {error} = JSON.parse(stdout) as {error: string};
      expect(error).to.match(
        new RegExp(
          `^stopped by ${signal} after step \\d+ of 100000; to go on: finetune --resume ${output}$`,
        ),
      );
      expect(stderr).to.include(`\n${error}\n`);
      expect(readdirSync(output).sort()).to.deep.equal([
        'block-history.json',
        'checkpoints',
        'config.json',
        'files.jsonl',
        'log.jsonl',
        'scores.json',
      ]);
      const blockHistory = JSON.parse(readFileSync(join(output, 'block-history.json'), 'utf8')) as {
        periods: string[][];
      };
      expect(blockHistory.periods.length).to.be.at.least(2);
    });
  }

  it('is left at once at a second signal', async () => {
    const output = newOutput();
    const child = startEndless(output);
    const closed = resultOf(child);
    await inLog(closed, output, '"step":2');
    // stopped meanwhile, so that it gets both, in one order or the other, before it can do anything about the first
    for (const signal of ['SIGSTOP', 'SIGINT', 'SIGTERM', 'SIGCONT'] as const) child.kill(signal);
    const {code, stderr} = await closed;
    expect(code).to.be.oneOf([130, 143]);
    expect(stderr).not.to.include('after step');
    expect(lastEntry(output)).to.include({event: 'step'});
  });

  for (const [what, remove] of [
    ['removed', (output: string) => rmSync(output, {recursive: true})],
    [
      'replaced by another',
      (output: string) => {
        renameSync(output, `${output}-moved`);
        mkdirSync(output);
        writeFileSync(join(output, 'log.jsonl'), '');
      },
    ],
  ] as const) {
    it(`is missed by the next step if it was ${what}`, async () => {
      const output = newOutput();
      const child = startEndless(output);
      const closed = resultOf(child);
      await inLog(closed, output, '"step":1');
      remove(output);
      const {code, stderr} = await closed;
      expect(code).to.equal(1);
      expect(stderr).to.match(
        /error: the folder '.*' was removed, moved or replaced during the run/,
      );
    });
  }

  itAtLength(
    'has the model even if the report cannot be written, which --resume does',
    async () => {
      const output = await finished();
      const unfinished = join(output, 'unfinished');
      const child = start(argsOf(output, '--overwrite', '--steps', '10', '--evaluate-every', '1'));
      const closed = resultOf(child);
      await inLog(closed, unfinished, '"step":1');
      mkdirSync(join(unfinished, 'report.html'));
      const {code, stderr} = await closed;
      expect(code).to.equal(1);
      expect(stderr).to.match(
        /error: '.*report\.html' is not of this run, and where it writes; move it/,
      );
      expect(lastEntry(unfinished)).to.include({state: 'failed'});
      expect(existsSync(join(unfinished, 'model.partial'))).to.equal(false);
      const {model} = await loadLlama(join(unfinished, 'model'));
      model.dispose();

      rmSync(join(unfinished, 'report.html'), {recursive: true});
      const resumed = await runCli(['finetune', '--resume', output]);
      expect(resumed.code, resumed.stderr).to.equal(0);
      expect(resumed.stderr).to.include('the run goes on from step 10');
      expect(lastEntry(output)).to.deep.equal({event: 'end', state: 'done'});
      expect(readdirSync(output)).not.to.include.oneOf(['unfinished', 'checkpoints']);
      expect(readdirSync(output)).to.include.members(['model', 'report.html']);
    },
  );
});
