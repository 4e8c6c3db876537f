import {createInterface} from 'node:readline';
import type {BackendName} from '../../tools/load_backend';
import {startProgram} from '../support/programs';
import {defaultVariant, type VariantName} from './variants';

/** What the program says, see killed_program.ts. */
interface Line {
  resumed?: number;
  /** A batch that is trained, and its loss. */
  batch?: number;
  loss?: number;
  saved?: number;
  /** The model in the folder; null: none. */
  shards?: number | null;
  done?: number;
  snapshot?: unknown;
}

/** What came of a training that was killed again and again. */
export interface KilledRun {
  kills: number;
  /** Kills after which the program went on behind a batch that it had said to be saved. */
  lost: number;
  /** Bits of the loss of each batch; what was computed again is there once if it is the same, and otherwise as NaN. */
  losses: number[];
  snapshot: unknown;
}

/** What is trained, and on which backend. */
export interface KilledTraining {
  variant: VariantName;
  backend: BackendName;
}

/**
 * Trains in `folder` until all batches are done. The program is killed (SIGKILL) up to `kills` times, each time after `pause()`
 * milliseconds from its first sign of life, and started again.
 *
 * @throws Error if it ends by itself before it is done, or a model that it saved has gone backwards.
 */
export async function trainWithKills(
  folder: string,
  batches: number,
  kills: number,
  pause: () => number,
  training: KilledTraining = {variant: defaultVariant, backend: 'cpu'},
): Promise<KilledRun> {
  const run: KilledRun = {kills: 0, lost: 0, losses: [], snapshot: null};
  let [saved, shards] = [0, 0];
  for (;;) {
    const args = [folder, String(batches), training.variant, training.backend];
    const end = await runOnce(args, run.kills < kills ? pause() : null, (line) => {
      if (line.resumed !== undefined && line.resumed < saved) run.lost++;
      if (line.shards !== undefined) {
        const model = line.shards ?? 0;
        if (model < shards) throw new Error(`model ${model} came back after ${shards}`);
        shards = model;
      }
      saved = line.saved ?? saved;
      if (line.batch === undefined) return;
      const before = run.losses[line.batch - 1];
      run.losses[line.batch - 1] = before === undefined || before === line.loss ? line.loss! : NaN;
    });
    if (end) return {...run, snapshot: end.snapshot};
    run.kills++;
  }
}

/** The last line of the program; null if it was killed. */
function runOnce(
  args: readonly string[],
  pause: number | null,
  onLine: (line: Line) => void,
): Promise<Line | null> {
  return new Promise((resolve, reject) => {
    const child = startProgram('test/checkpoint/killed_program', args);
    let [errors, last]: [string, Line | null] = ['', null];
    child.stderr!.on('data', (text) => (errors += String(text)));
    createInterface({input: child.stdout!}).on('line', (text) => {
      const line = JSON.parse(text) as Line;
      if (line.resumed !== undefined && pause !== null)
        setTimeout(() => child.kill('SIGKILL'), pause);
      if (line.done !== undefined) last = line;
      try {
        onLine(line);
      } catch (error) {
        child.kill('SIGKILL');
        reject(new Error(`after ${text}`, {cause: error}));
      }
    });
    child.on('close', (code, signal) => {
      if (last) resolve(last);
      else if (signal === 'SIGKILL') resolve(null);
      else reject(new Error(`the program ended with ${code}: ${errors}`));
    });
  });
}
