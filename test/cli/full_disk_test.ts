import {existsSync, readFileSync, readdirSync} from 'node:fs';
import {join} from 'node:path';
import {PassThrough} from 'node:stream';
import {expect} from 'chai';
import {CommandConsole} from '../../src/cli/console';
import {errorIn, isFullDisk, PATIENCE, untilSaved, type Saving} from '../../src/cli/full_disk';
import {Interruption} from '../../src/cli/interruption';
import {runProgram} from '../../src/cli/program';
import {UsageError} from '../../src/cli/usage_error';
import {loadBackend} from '../../tools/load_backend';
import {fastBackend} from '../support/backends';
import {onFullDisk} from '../support/full_disk';
import {createModelFolder, texts, type ModelFolder} from './model_folder';
import {runCli, TextSink, typist, type CliRun} from './run_cli';

const full = (): Error =>
  Object.assign(new Error('ENOSPC: no space left on device, write'), {
    ...{code: 'ENOSPC', syscall: 'write'},
  });
/** So that no test waits for minutes; one that is saved in the end has all the time that a busy machine takes. */
const impatient = {max: 40, pause: 5};
const patient = {max: 60_000, pause: 5};

describe('errorIn', () => {
  it('names the folder that could not be written to', () => {
    const named = errorIn('run', full()) as Error;
    expect(named.message).to.equal(
      "cannot write to the folder 'run': ENOSPC: no space left on device, write",
    );
    expect(isFullDisk(named)).to.equal(true);
    const quota = Object.assign(new Error('EDQUOT'), {
      code: 'EDQUOT',
      path: 'a/b',
      syscall: 'open',
    });
    expect(errorIn('run', quota)).to.equal(quota);
    expect(isFullDisk(quota)).to.equal(true);
    for (const other of [new Error('x'), new TypeError('x'), 'x', undefined]) {
      expect(errorIn('run', other)).to.equal(other);
      expect(isFullDisk(other)).to.equal(false);
    }
  });
});

describe('untilSaved', () => {
  /** Saves what fails a number of times. */
  async function save(
    failures: number,
    {
      answers,
      move = null,
      interruption = new Interruption(),
      error = full,
    }: {
      answers?: readonly string[];
      move?: Saving['move'];
      interruption?: Interruption;
      error?: () => Error;
    } = {},
  ): Promise<{result: unknown; said: string; tries: number}> {
    const {stdin, stderr} = answers
      ? typist(answers)
      : {stdin: Object.assign(new PassThrough(), {isTTY: false}), stderr: new TextSink()};
    const console = new CommandConsole(new TextSink(), stderr, false);
    let tries = 0;
    const body = (): string => {
      if (++tries <= failures) throw error();
      return 'saved';
    };
    const context = {console, stdin, interruption};
    const limits = failures === Infinity ? impatient : patient;
    const result = await untilSaved(() => ({path: 'run', move}), body, context, limits).catch(
      (thrown: unknown) => thrown,
    );
    // a terminal breaks long lines
    const said = answers ? stderr.text.replace(/\s+/g, ' ') : stderr.text;
    return {result, said, tries};
  }

  it('waits for room without a terminal, and says so once', async () => {
    const {result, said, tries} = await save(3);
    expect(result).to.equal('saved');
    expect(tries).to.equal(4);
    expect(said).to.equal(
      "cannot write to the folder 'run': ENOSPC: no space left on device, write; waiting for room, for ten minutes at most\n",
    );
    expect(PATIENCE.max).to.equal(10 * 60 * 1000);
  });

  it('ends with an error that names the place and the way on', async () => {
    const {result, tries} = await save(Infinity);
    expect(tries).to.be.within(2, 10);
    expect((result as Error).message).to.equal(
      "cannot write to the folder 'run': ENOSPC: no space left on device, write; there was no room for ten minutes, " +
        'the run goes on by finetune --resume run',
    );
  });

  it('does not wait because of anything else', async () => {
    const other = new Error('other');
    const {result, said, tries} = await save(1, {error: () => other});
    expect([result, said, tries]).to.deep.equal([other, '', 1]);
  });

  it('ends the wait at Ctrl-C, but tries again for a run that stops', async () => {
    const interruption = new Interruption();
    setTimeout(() => interruption.receive('SIGINT'), 8);
    const {result, tries} = await save(Infinity, {interruption});
    expect((result as Error).message).to.match(/no space left on device, write$/);
    expect(tries).to.be.below(6);
    expect((await save(3, {interruption})).result).to.equal('saved');
  });

  it('asks on a terminal: room is made, another place, no answer', async () => {
    const enter = await save(2, {answers: ['\n', '\n']});
    expect(enter.result).to.equal('saved');
    expect(enter.said).to.include('Make room and press Enter; Ctrl-D ends the run');

    const moved: string[] = [];
    const move = (path: string): void => {
      moved.push(path);
      if (path === 'taken') throw new UsageError('finetune: taken is not empty');
    };
    const other = await save(2, {answers: ['taken\n', ' other place \n'], move});
    expect(other.result).to.equal('saved');
    expect(moved).to.deep.equal(['taken', 'other place']);
    expect(other.said)
      .to.include('or type the path of another folder for the run')
      .and.include('finetune: taken is not empty');

    for (const answers of [['\u0004'], ['\u0003'], ['no\u0003']]) {
      const none = await save(Infinity, {answers});
      expect((none.result as Error).message).to.match(
        /folder 'run': ENOSPC.*; the run goes on by finetune --resume run$/,
      );
      expect(none.tries).to.equal(1);
    }
  });
});

describe('a run on a full disk', function () {
  this.timeout(120_000);
  let folder: ModelFolder;
  let data: string;
  let whole: ReturnType<typeof remains>;
  let count = 0;
  const patience = {...PATIENCE};
  before(async () => {
    folder = await createModelFolder();
    data = folder.writeLines('texts.jsonl', texts(30));
    const output = newOutput();
    const {code, stderr} = await runCli(argsOf(output));
    expect(code, stderr).to.equal(0);
    whole = remains(output);
    Object.assign(PATIENCE, {max: 60, pause: 10});
  });
  after(() => {
    Object.assign(PATIENCE, patience);
    folder.remove();
  });

  const newOutput = (): string => join(folder.path, `run${count++}`);
  const argsOf = (output: string): string[] => [
    ...['finetune', '--backend', fastBackend, '--model', folder.model, '--data', data],
    ...['--output', output, '--max-length', '12', '--batch-size', '4', '--steps', '6'],
    ...['--save-every', '2', '--method', 'lora', '--rank', '2'],
  ];

  /** All but times and bytes. */
  function remains(output: string): object {
    const lines = readFileSync(join(output, 'log.jsonl'), 'utf8').trimEnd().split('\n');
    return {
      names: readdirSync(output).filter((name) => !name.startsWith('.')),
      log: lines.map((line) => {
        const {seconds: _, peakBytes: __, ...entry} = JSON.parse(line) as Record<string, unknown>;
        return entry;
      }),
      model: readFileSync(join(output, 'model/model.safetensors'), 'latin1'),
      adapter: readFileSync(join(output, 'adapter/adapter_model.safetensors'), 'latin1'),
    };
  }

  /** A path in the folder of a run; a file that is written under a temporary name has a dot before its own. */
  const startOf = (output: string, path: string): string =>
    path.slice(output.length + 1).replace(/^\./, '');

  const made = (output: string): number =>
    existsSync(join(output, 'log.jsonl'))
      ? readFileSync(join(output, 'log.jsonl'), 'utf8').split('"event":"step"').length - 1
      : 0;

  for (const [what, part] of [
    ['a checkpoint and the log', 'checkpoints'],
    ['the adapter', 'adapter'],
    ['the model', 'model'],
    ['the report', 'report.html'],
  ] as const) {
    it(`is as any other where there is room again for ${what}`, async () => {
      const output = newOutput();
      let failures = 0;
      const isFull = (path: string): boolean => {
        const isPart = startOf(output, path).startsWith(part) || path.endsWith('log.jsonl');
        return made(output) >= 4 && isPart && ++failures <= 3;
      };
      const {code, stderr} = await onFullDisk(output, isFull, () => runCli(argsOf(output)));
      expect(code, stderr).to.equal(0);
      expect(failures).to.be.above(3);
      expect(remains(output)).to.deep.equal(whole);
    });

    it(`has an exact resume where there is none: ${what}`, async () => {
      const output = newOutput();
      const isFull = (path: string): boolean =>
        made(output) >= 4 && startOf(output, path).startsWith(part);
      const {code, stderr} = await onFullDisk(output, isFull, () => runCli(argsOf(output)));
      expect(code, stderr).to.equal(1);
      expect(stderr).to.match(
        new RegExp(`error: .*${output}.*ENOSPC.*no room for ten minutes, .*--resume ${output}\n$`),
      );
      const resumed = await runCli(['finetune', '--resume', output]);
      expect(resumed.code, resumed.stderr).to.equal(0);
      const reached = part === 'checkpoints' ? 2 : 6;
      expect(resumed.stderr).to.include(`the run goes on from step ${reached}\n`);
      expect(remains(output)).to.deep.equal(whole);
    });
  }

  for (const part of ['checkpoints', 'model'] as const) {
    it(`goes on in another folder that is typed into a terminal: ${part}`, async () => {
      const [output, other] = [newOutput(), newOutput()];
      const {stdin, stderr} = typist([`${other}\n`]);
      const isFull = (path: string): boolean => made(output) >= 4 && path.includes(part);
      const {code} = await onFullDisk(output, isFull, () => runIn(argsOf(output), stdin, stderr));
      expect(code, stderr.text).to.equal(0);
      expect(remains(other)).to.deep.equal(whole);
      expect(existsSync(join(output, 'model'))).to.equal(false);
      expect(existsSync(join(output, '.lock'))).to.equal(false);
      // what is left goes on as a run that was killed
      const resumed = await runCli(['finetune', '--resume', output]);
      expect(resumed.code, resumed.stderr).to.equal(0);
      expect(remains(output)).to.deep.equal(whole);
    });
  }

  async function runIn(
    args: readonly string[],
    stdin: ReturnType<typeof typist>['stdin'],
    stderr: ReturnType<typeof typist>['stderr'],
  ): Promise<CliRun> {
    const stdout = new TextSink();
    const code = await runProgram(args, {stdin, stdout, stderr, loadBackend});
    return {code, stdout: stdout.text, stderr: stderr.text};
  }

  it('says which folder it is where not even its first file can be written', async () => {
    const output = newOutput();
    const {code, stderr} = await onFullDisk(
      output,
      () => true,
      () => runCli(argsOf(output)),
    );
    expect(code).to.be.within(1, 2);
    expect(stderr).to.match(new RegExp(`error: .*${output}.*ENOSPC`));
  });
});
