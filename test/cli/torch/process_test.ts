import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import type {Program} from '../../../src/cli/start_program';
import {runTorch} from '../../../src/cli/torch/process';
import {rejection} from '../../support/rejection';

describe('runTorch', function () {
  this.timeout(60_000);
  let folder: string;
  let held: Array<[pid: number, isReleased: boolean]>;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'owlore-process-'));
    held = [];
    writeFileSync(join(folder, 'torch.log'), '');
  });
  afterEach(() => rmSync(folder, {recursive: true}));

  /** Runs a program of the shell in the place of Python; returns the names of its events. */
  async function run(program: string, {silence = 60_000, max = Infinity} = {}): Promise<string[]> {
    const python = join(folder, 'python') as Program;
    writeFileSync(python, `#!/bin/sh\n${program}\n`, {mode: 0o755});
    const events: string[] = [];
    const files = {job: join(folder, 'job.json'), log: join(folder, 'torch.log')};
    const hold = (pid: number) => {
      const entry: [number, boolean] = [pid, false];
      held.push(entry);
      return () => void (entry[1] = true);
    };
    for await (const {event} of runTorch({python, processes: 1, ...files, hold, silence})) {
      events.push(event);
      if (events.length === max) break;
    }
    return events;
  }

  /** That no process is left, and that nothing is held for it any more. */
  function expectEnd(): void {
    expect(held.map(([, isReleased]) => isReleased)).to.deep.equal([true]);
    expect(() => process.kill(held[0]![0], 0)).to.throw(/ESRCH/);
  }

  const stopped = `echo '{"event": "stopped", "step": 1}'`;

  it('gives events and leaves out what is none, until all has ended', async () => {
    expect(await run(`${stopped}; echo; echo other; ${stopped}`)).to.deep.equal(
      Array(2).fill('stopped'),
    );
    expectEnd();
    expect(await run(`printf '{"event": "stopped", "step": 1}'`)).to.deep.equal(['stopped']);
  });

  it('ends the process if no more events are taken', async () => {
    expect(await run(`${stopped}; sleep 600 & wait`, {max: 1})).to.deep.equal(['stopped']);
    expectEnd();
  });

  for (const [what, program] of [
    ['prints nothing', 'exec sleep 600'],
    ['prints nothing any more', `${stopped}; exec sleep 600`],
    ['closes its stdout and goes on', 'exec >&-; exec sleep 600'],
  ] as const) {
    it(`ends a process that ${what}`, async () => {
      const {message} = await rejection(run(program, {silence: 300}));
      expect(message).to.match(
        /^--engine torch: Python has said nothing for 0 minutes, not even that it lives, and was ended/,
      );
      expectEnd();
    });
  }

  it('waits for one that says that it lives', async () => {
    const lives = 'for i in 1 2 3 4 5 6; do echo; sleep 0.4; done';
    expect(await run(`${lives}; ${stopped}`, {silence: 2000})).to.deep.equal(['stopped']);
  });

  it('says why a process has failed in the middle of an event, by its part of the log', async () => {
    writeFileSync(join(folder, 'torch.log'), 'finetune.py has failed: ValueError: before\n');
    const half = `printf '{"event": "step", "st'`;
    const why = `echo 'finetune.py has failed: ValueError: now' >&2; exit 1`;
    const {message} = await rejection(run(`${half}; ${why}`));
    expect(message).to.match(/^--engine torch: ValueError: now \(.*torch\.log has all/);
    expect(readFileSync(join(folder, 'torch.log'), 'utf8')).to.match(/: before\n.*: now\n$/);
    expectEnd();
    const second = await rejection(run('exit 3'));
    expect(second.message).to.match(/^--engine torch: Python ended with exit code 3/);
    const third = await rejection(run('kill -9 $$'));
    expect(third.message).to.match(/^--engine torch: Python ended with SIGKILL/);
  });

  it('refuses what is no event, and ends the process', async () => {
    for (const program of [`echo '{"event": "step"}'; exec sleep 600`, `printf '{"event"'`]) {
      held = [];
      const {message} = await rejection(run(program));
      expect(message).to.match(/^--engine torch: an event of finetune\.py/);
      expectEnd();
    }
  });

  it('says that there is no program', async () => {
    const files = {job: join(folder, 'job.json'), log: join(folder, 'torch.log')};
    const python = join(folder, 'none') as Program;
    const hold = () => () => undefined;
    const events = runTorch({python, processes: 1, ...files, hold});
    const {message} = await rejection(events.next());
    expect(message).to.match(/^--engine torch: Python ended with spawn .*none ENOENT/);
  });
});
