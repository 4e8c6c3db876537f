/** Which checkpoints of a target are a training's own, and whether another process saves there, too. */
import {folderName, isDirectoryHandle} from '../files/directory_handle';
import type {ModelTarget} from '../files/sink';
import type {ManifestFile} from './manifest';
import type {ResumableOptimizer} from './parts';

/** What a training has found in a target. */
interface Found {
  /** Names with checksums. */
  paths: ReadonlySet<string>;
  /** Whether it has looked for a checkpoint to go on from; if not, they are somebody else's. */
  isResumed: boolean;
}

/** By training and target, since a training began to save there or looked for a checkpoint to go on from. */
const known = new WeakMap<ResumableOptimizer, Map<ModelTarget, Found>>();

/** Those that this process has written; in it one training after another may save to a target. */
const written = new Set<string>();

/** A target as it is known already: a folder may have several paths and handles. */
async function knownTarget(
  targets: ReadonlyMap<ModelTarget, Found>,
  target: ModelTarget,
): Promise<ModelTarget> {
  if (typeof target === 'string') return (await import('../files/folders')).realFolder(target);
  if (!isDirectoryHandle(target)) return target;
  for (const other of targets.keys()) {
    if (isDirectoryHandle(other) && (await other.isSameEntry?.(target))) return other;
  }
  return target;
}

/** Remembers what is in a target in which a training has looked for a checkpoint to go on from. */
export async function rememberPresent(
  optimizer: ResumableOptimizer,
  target: ModelTarget,
  present: readonly ManifestFile[],
  isResumed = true,
): Promise<Found> {
  const targets = known.get(optimizer) ?? new Map<ModelTarget, Found>();
  const found = {paths: new Set(present.map(({path}) => path)), isResumed};
  known.set(optimizer, targets.set(await knownTarget(targets, target), found));
  return found;
}

/** Remembers a checkpoint that this process has written. */
export function rememberOwn(path: string): void {
  written.add(path);
}

/**
 * Of the checkpoints that are in a target the names of those that a training may remove: this process has written them, or they were
 * there when it looked for one to go on from.
 *
 * @throws Error if one came from elsewhere since the training began to save there or went on from there.
 */
export async function ownAmong(
  owner: string,
  optimizer: ResumableOptimizer,
  target: ModelTarget,
  present: readonly ManifestFile[],
): Promise<ReadonlySet<string>> {
  const targets = known.get(optimizer) ?? new Map<ModelTarget, Found>();
  const {paths, isResumed} =
    targets.get(await knownTarget(targets, target)) ??
    (await rememberPresent(optimizer, target, present, false));
  const foreign = present.find(({path}) => !paths.has(path) && !written.has(path));
  if (foreign) {
    const place = target instanceof Map ? 'the map' : `'${folderName(target)}'`;
    throw new Error(
      `${owner}: ${place} has the checkpoint ${foreign.path}, which came there while this training saved to it: another process saves ` +
        'there, too, and each would remove the files of the other; nothing was written. Save to a folder of its own for each training; ' +
        'if the other one has ended, resumeCheckpoint goes on from its checkpoint',
    );
  }
  const names = present.map(({path}) => path);
  return new Set(isResumed ? names : names.filter((path) => written.has(path)));
}
