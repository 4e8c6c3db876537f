import {expect} from 'chai';
import {Interruption, StoppedError} from '../../src/cli/interruption';

describe('Interruption', () => {
  let exits: number[];
  let interruption: Interruption;
  beforeEach(() => {
    exits = [];
    interruption = new Interruption((code) => void exits.push(code));
  });

  it('ends the process at the first signal by default', () => {
    interruption.receive('SIGTERM');
    expect(exits).to.deep.equal([143]);
    expect(interruption.signal.aborted).to.equal(true);
  });

  it('leaves a tidy stop to the command, and ends the process at the second signal', async () => {
    const stopped = interruption.stopTidily(async () => {
      interruption.receive('SIGINT');
      expect(exits).to.deep.equal([]);
      interruption.receive('SIGTERM');
      expect(exits).to.deep.equal([143]);
      interruption.signal.throwIfAborted();
    });
    const error = await stopped.then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(error).to.be.instanceOf(StoppedError).and.include({stopSignal: 'SIGINT'});
  });

  it('takes the same signal within a moment for one', async () => {
    await interruption.stopTidily(async () => {
      interruption.receive('SIGINT');
      interruption.receive('SIGINT');
      expect(exits).to.deep.equal([]);
      await new Promise((resolve) => setTimeout(resolve, 250));
      interruption.receive('SIGINT');
      expect(exits).to.deep.equal([130]);
    });
  });

  it('ends the process again after a command that stops tidily', async () => {
    await interruption.stopTidily(() => Promise.resolve());
    interruption.receive('SIGHUP');
    expect(exits).to.deep.equal([129]);
  });
});
