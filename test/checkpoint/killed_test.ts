import {mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {createRandom} from '../../src/random';
import {trainWithKills} from './kill';

describe('a training that is killed', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'owlore-killed-'))));
  afterEach(() => rmSync(folder, {recursive: true}));

  it('goes on in a new process, loses nothing that was saved, and leaves no mixture of models', async () => {
    const random = createRandom(1);
    const whole = await trainWithKills(join(folder, 'whole'), 16, 0, () => 0);
    const killed = await trainWithKills(join(folder, 'killed'), 16, 3, () => 150 * random.next());
    expect(killed.kills).to.be.greaterThan(0);
    expect(killed.lost).to.equal(0);
    expect(killed.losses).to.deep.equal(whole.losses);
    expect(killed.snapshot).to.deep.equal(whole.snapshot);
    for (const part of ['checkpoints', 'shards']) {
      const files = readdirSync(join(folder, 'killed', part));
      expect(files.filter((path) => path.startsWith('.'))).to.deep.equal([]);
    }
  }).timeout(300_000);
});
