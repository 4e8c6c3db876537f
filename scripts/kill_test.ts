/**
 * Kills a training at random moments, many times: `npx tsx scripts/kill_test.ts [kills] [seed]`. After each batch the program saves a
 * checkpoint and a model of many files; it is killed (SIGKILL), started again, and must go on behind everything that it had said to
 * be saved. At the end its losses and weights must be those of a run that was never killed, and it must have been killed so often.
 * docs/measurements.md has a result.
 */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {isDeepStrictEqual} from 'node:util';
import {createRandom} from '../src/common/random';
import {trainWithKills} from '../test/checkpoint/kill';

/** Batches for each kill: the program hardly gets so far in its longest life. */
const BATCHES_PER_KILL = 10;
const LONGEST_LIFE = 150; // ms

const [kills = '200', seed = '1'] = process.argv.slice(2);
if (![kills, seed].every((text) => /^\d+$/.test(text))) {
  process.stderr.write('usage: npx tsx scripts/kill_test.ts [kills] [seed], both integers\n');
  process.exit(1);
}
const batches = BATCHES_PER_KILL * Number(kills);
const random = createRandom(Number(seed));
const folder = mkdtempSync(join(tmpdir(), 'owlore-kill-'));
try {
  const whole = await trainWithKills(join(folder, 'whole'), batches, 0, () => 0);
  const pause = (): number => LONGEST_LIFE * random.next();
  const killed = await trainWithKills(join(folder, 'killed'), batches, Number(kills), pause);
  const differing = whole.losses.filter((loss, batch) => killed.losses[batch] !== loss).length;
  const isSame = isDeepStrictEqual(killed.snapshot, whole.snapshot);
  process.stdout.write(
    `${killed.kills} kills in ${batches} batches: ${killed.lost} lost a saved batch; no model was a mixture; ${differing} losses ` +
      `differ from those of the run that was not killed; all weights and states at the end are ${isSame ? '' : 'NOT '}the same\n`,
  );
  // a program that came to its end before it could be killed so often has proved less
  const isComplete = killed.kills === Number(kills);
  process.exitCode = isComplete && isSame && differing === 0 && killed.lost === 0 ? 0 : 1;
} finally {
  rmSync(folder, {recursive: true});
}
