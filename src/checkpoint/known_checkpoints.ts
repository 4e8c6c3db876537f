/** Which checkpoints of a target a training knows, so that it notices another process that saves there, too. */
import type {ModelTarget} from '../files/sink';
import type {ManifestFile} from './manifest';
import type {ResumableOptimizer} from './parts';

/** Those that were in a target when a training began to save there, or went on from it: names with checksums. */
const known = new WeakMap<ResumableOptimizer, Map<ModelTarget, ReadonlySet<string>>>();

/** Those that this process has written; in it one training after another may save to a target. */
const written = new Set<string>();

/** Remembers what is in a target from which a training goes on. */
export function rememberPresent(
  optimizer: ResumableOptimizer,
  target: ModelTarget,
  present: readonly ManifestFile[],
): void {
  const targets = known.get(optimizer) ?? new Map<ModelTarget, ReadonlySet<string>>();
  targets.set(target, new Set(present.map(({path}) => path)));
  known.set(optimizer, targets);
}

/** Remembers a checkpoint that this process has written. */
export function rememberOwn(path: string): void {
  written.add(path);
}

/** Throws if a target has a checkpoint that came from elsewhere since the training began to save there. */
export function checkAlone(
  owner: string,
  optimizer: ResumableOptimizer,
  target: ModelTarget,
  present: readonly ManifestFile[],
): void {
  const before = known.get(optimizer)?.get(target);
  if (!before) {
    rememberPresent(optimizer, target, present);
    return;
  }
  const foreign = present.find(({path}) => !before.has(path) && !written.has(path));
  if (!foreign) return;
  const place = typeof target === 'string' ? `'${target}'` : 'the map';
  throw new Error(
    `${owner}: ${place} has the checkpoint ${foreign.path}, which came there while this training saved to it: another process saves ` +
      'there, too, and each would remove the files of the other; nothing was written. Save to a folder of its own for each training; ' +
      'if the other one has ended, resumeCheckpoint goes on from its checkpoint',
  );
}
