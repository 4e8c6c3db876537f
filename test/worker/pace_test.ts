import {expect} from 'chai';
import {rejection} from '../support/rejection';
import {Pace} from '../../src/worker/pace';

describe('Pace', () => {
  it('rests until it is to go on, and tells those who wait when it does', async () => {
    const pace = new Pace();
    const log: string[] = [];
    const waits = pace.pause().then(() => log.push('waits'));
    expect(pace.wanted).to.equal('pause');
    const rest = pace.rest(null, () => log.push('rests')).then(() => log.push('goes on'));
    await waits;
    await pace.pause(); // it rests already
    pace.resume();
    await rest;
    expect(log).to.deep.equal(['rests', 'waits', 'goes on']);
    expect(pace.wanted).to.equal('run');
  });

  it('rejects those who wait where something failed, and rests by itself', async () => {
    const pace = new Pace();
    const waits = rejection(pace.pause());
    const full = new Error('full');
    const rest = pace.rest(full, () => undefined);
    expect(await waits).to.equal(full);
    pace.resume();
    await rest;
    const again = pace.rest(full, () => undefined);
    expect(pace.wanted).to.equal('pause');
    pace.stop();
    await again;
    expect(pace.wanted).to.equal('stop');
  });

  it('does not rest once it is to end', async () => {
    const pace = new Pace();
    pace.stop();
    await pace.rest(new Error('full'), () => expect.fail('rests'));
    pace.resume();
    expect(pace.wanted).to.equal('stop');
  });
});
