import {mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {createRandom} from '../../src/common/random';
import {backends, thorough} from '../support/backends';
import {trainWithKills, type KilledTraining} from './kill';
import {variantNames} from './variants';

describe('a training that is killed', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'owlore-killed-'))));
  afterEach(() => rmSync(folder, {recursive: true}));

  it('goes on in a new process, loses nothing that was saved, and leaves no mixture of models', async () => {
    await (thorough ? expectSame(16, 3, 150) : expectSame(8, 1, 150));
    for (const part of ['checkpoints', 'shards']) {
      const files = readdirSync(join(folder, 'killed', part));
      expect(files.filter((path) => path.startsWith('.'))).to.deep.equal([]);
    }
  }).timeout(300_000);

  /** Compares a run that is killed, each time at most `pause` milliseconds after it began, with one that is not. */
  async function expectSame(
    batches: number,
    kills: number,
    pause: number,
    training?: KilledTraining,
  ): Promise<void> {
    const random = createRandom(1);
    const whole = await trainWithKills(join(folder, 'whole'), batches, 0, () => 0, training);
    const pauses = (): number => pause * random.next();
    const killed = await trainWithKills(join(folder, 'killed'), batches, kills, pauses, training);
    expect(killed.kills).to.be.greaterThan(0);
    expect(killed.lost).to.equal(0);
    expect(killed.losses).to.deep.equal(whole.losses);
    expect(killed.snapshot).to.deep.equal(whole.snapshot);
  }

  // for long: `npx tsx scripts/test_resume.ts`; test/checkpoint/exact_resume_test.ts has the same options in one process
  if (process.env.OWLORE_FUZZ_RUNS === undefined) return;

  for (const backend of backends) {
    if (backend === 'webgpu' || backend === 'webgl') continue;
    for (const variant of variantNames) {
      it(`has an exact resume on ${backend}: ${variant}`, () =>
        expectSame(16, 3, 300, {variant, backend: backend as KilledTraining['backend']})).timeout(
        0,
      );
    }
  }
});
