import {spawnSync, type ChildProcess} from 'node:child_process';
import {cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {setTimeout as sleep} from 'node:timers/promises';
import {expect} from 'chai';
import {defaultPython} from '../../src/cli/start_program';
import {runTorch} from '../../src/cli/torch/process';
import {withEnvironment} from '../cli/fake_python';
import {startProgram} from '../support/programs';

describe('python/launch.py', function () {
  this.timeout(60_000);
  let folder: string;
  let started: number[];
  before(function () {
    if (spawnSync('python3', ['--version']).status !== 0) this.skip();
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'owlore-launch-'));
    cpSync('test/python/torch', join(folder, 'torch'), {recursive: true});
    started = [];
  });
  afterEach(() => {
    for (const pid of started.filter(lives)) process.kill(pid, 'SIGKILL');
    rmSync(folder, {recursive: true});
  });

  /** Starts the command's part that runs Python, with test/python/torch in the place of torch; fills `started`. */
  async function start(env: NodeJS.ProcessEnv): Promise<ChildProcess> {
    const options = {env: {PYTHONPATH: folder, ...env}};
    const child = startProgram('test/cli/torch/run_in_process', [folder], options);
    for await (const line of createInterface({input: child.stdout!})) {
      started.push(Number(line));
      if (started.length === 2) return child;
    }
    throw new Error(readFileSync(join(folder, 'torch.log'), 'utf8'));
  }

  for (const [what, signal, env] of [
    ['is killed', 'SIGKILL', {}],
    ['is killed while torchrun waits for other machines', 'SIGKILL', {STUB_IS_DEAF: '1'}],
    ['ends by itself', 'SIGTERM', {}],
  ] as const) {
    it(`ends, and its processes with it, when the command ${what}`, async () => {
      const child = await start(env);
      expect(started.map(lives)).to.deep.equal([true, true]);
      child.kill(signal);
      while (started.some(lives)) await sleep(50);
    });
  }

  it('hands on to the first process what the command says', async () => {
    const files = {job: join(folder, 'job.json'), log: join(folder, 'torch.log')};
    writeFileSync(files.log, '');
    const hold = () => () => undefined;
    await withEnvironment({PYTHONPATH: folder, STUB_ASKS: '1'}, async () => {
      const events = runTorch({python: defaultPython, processes: 1, ...files, hold});
      const answer = {checkpoints: 'ä', folder: '/b "c"'};
      const told = [await events.next(), await events.next(), await events.next(answer)];
      await events.return();
      expect(told.map(({value}) => value?.event)).to.deep.equal(['stopped', 'stopped', 'full']);
      expect(told[2]!.value).to.include({path: answer.folder, reason: answer.checkpoints});
    });
  });

  it('has a process end that another one has taken on before it asked for its parent', () => {
    const program =
      "import sys; sys.path.insert(0, 'python'); from owlore.events import end_with_parent; end_with_parent(); print('goes on')";
    // a number that is still there, as that of a process that nobody has waited for
    for (const [launcher, status, stdout] of [
      [process.pid, 0, 'goes on\n'],
      [process.ppid, 1, ''],
    ] as const) {
      const env = {...process.env, OWLORE_LAUNCHER: String(launcher)};
      const ended = spawnSync('python3', ['-c', program], {env, encoding: 'utf8'});
      expect([ended.status, ended.stdout], ended.stderr).to.deep.equal([status, stdout]);
    }
  });

  it('has its processes end when it is killed itself, and the command with them', async () => {
    const child = await start({});
    const ended = new Promise((resolve) => child.once('exit', resolve));
    process.kill(started[0]!, 'SIGKILL');
    while (started.some(lives)) await sleep(50);
    expect(await ended).to.equal(1);
  });
});

/** Whether a process runs. */
function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const {stdout} = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], {encoding: 'utf8'});
  return !/^(Z|$)/.test(stdout.trim());
}
