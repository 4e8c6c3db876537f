import {spawnSync} from 'node:child_process';
import {expect} from 'chai';
import {isDead, thisProcess, type WritingProcess} from '../../src/files/writing_process';

describe('a process that writes', () => {
  let own: WritingProcess;
  beforeEach(() => (own = thisProcess('here')));
  const {pid: ended} = spawnSync(process.execPath, ['--version']);

  it('is known by its machine, its number and its beginning', () => {
    expect(own).to.deep.include({host: 'here', pid: process.pid});
    expect(own.processStart).to.be.within(Date.now() - 1000 * process.uptime() - 5000, Date.now());
    expect(Number.isInteger(own.processStart)).to.equal(true);
  });

  it('is dead if it does not run any more', () => {
    expect(isDead({...own, pid: ended}, own)).to.equal(true);
    expect(isDead({...own, pid: process.ppid}, own)).to.equal(false);
    expect(isDead(own, own)).to.equal(false);
  });

  it('is dead if this one has its number', () => {
    expect(isDead({...own, processStart: own.processStart - 1}, own)).to.equal(true);
  });

  it('may live on another machine', () => {
    expect(isDead({...own, host: 'there', pid: ended}, own)).to.equal(false);
  });

  it('lives if it belongs to another user', () => {
    const {kill} = process;
    process.kill = () => {
      throw Object.assign(new Error('kill EPERM'), {code: 'EPERM'});
    };
    try {
      expect(isDead({...own, pid: process.ppid}, own)).to.equal(false);
    } finally {
      process.kill = kill;
    }
  });
});
