import {spawn} from 'node:child_process';
import {expect} from 'chai';
import {cpuMilliseconds} from '../../bench/harness/process_usage';

/** Starts a process that computes, and does nothing itself. */
const PROGRAM = `
  const child = require('node:child_process').spawn(process.execPath, ['--eval', 'for (;;);']);
  process.on('SIGTERM', () => process.exit(child.kill() ? 0 : 1));`;

describe('bench/process_usage', () => {
  it('counts what the processes do that a process has started', async function () {
    if (process.platform !== 'linux') this.skip();
    const parent = spawn(process.execPath, ['--eval', PROGRAM]);
    try {
      // starting takes a tenth of that; it waits here, until the test's time is up
      while (cpuMilliseconds(parent.pid!) < 1000) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    } finally {
      parent.kill();
    }
  }).timeout(30_000);

  it('tells nothing of a process that is not there', () => {
    expect(cpuMilliseconds(2 ** 30)).to.be.NaN;
  });
});
