/** What is in the folder of a run, and how far that run has come. */
import {readdirSync, rmdirSync, rmSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import {isCheckpointFile} from '../checkpoint/manifest';
import {isPassingName, isWrittenName} from '../files/folder_commit';
import {kindNames, kindOf, readEnd} from '../files/own_files';
import {FILE_LIST, FileList} from './file_list';

/** All that a run leaves in its folder. */
export const NAMES = {
  list: FILE_LIST,
  config: 'config.json',
  log: 'log.jsonl',
  scores: 'scores.json',
  blockHistory: 'block-history.json',
  report: 'report.html',
  checkpoints: 'checkpoints',
  adapter: 'adapter',
  model: 'model',
  tensorBoard: 'tensorboard',
  job: 'torch',
  pythonLog: 'torch.log',
} as const;

/** The most bytes that are read of a log: those of some two million steps. */
export const MAX_LOG_BYTES = 500_000_000;

/** How many of the newest checkpoints stay: should one be damaged, there is the one before. */
export const KEPT_CHECKPOINTS = 2;

/** The last line in the log of a run that has come to its end. */
export const DONE = {event: 'end', state: 'done'} as const;

/** What a model or an adapter is called while it is being written. */
export const partialOf = (name: string): string => `${name}.partial`;
/** Where a run writes that will replace an earlier one in the same folder. */
export const UNFINISHED = 'unfinished';
/** Its name from the moment when the run is complete until its files have replaced those of the earlier one. */
export const FINISHED = 'finished';

type NameTest = (name: string) => boolean;
const isOfModel: NameTest = (name) => isWrittenName(name) || isPassingName(name);
const isOfCheckpoint: NameTest = (name) => isCheckpointFile(name) || isPassingName(name);
const isOfJob: NameTest = (name) =>
  /^(?:job\.json|places\.jsonl|(?:batches|heldOut)\.i32|stop|saved-\d+|[\da-f]{32}\.safetensors)$/.test(
    name,
  );

/** The folders of a run until it ends: the list has them as a whole, and these of their files are the run's. */
const passing: Readonly<Record<string, NameTest>> = {
  [NAMES.checkpoints]: isOfCheckpoint,
  [partialOf(NAMES.model)]: isOfModel,
  [partialOf(NAMES.adapter)]: isOfModel,
  [NAMES.job]: isOfJob,
  [`${NAMES.job}/model`]: isOfModel,
};
/** Those that stay: the list has each of their files, which may be these, or says that they are being made. */
const lasting: Readonly<Record<string, NameTest>> = {
  [NAMES.model]: isWrittenName,
  [NAMES.adapter]: isWrittenName,
  [NAMES.tensorBoard]: (name) => name.startsWith('events.out.tfevents.'),
};
const folders: readonly string[] = [...Object.keys(passing), ...Object.keys(lasting)];
const used: ReadonlySet<string> = new Set([...Object.values(NAMES), ...folders]);

/** What is in the folder of a run under the names that a run uses; anything else there is not looked at. */
export interface Survey {
  /** Whether it has the list of a run. */
  isRun: boolean;
  /** The files of the run, by their paths in the folder; the list comes last. */
  own: string[];
  /** Its folders, each after those in it. */
  folders: string[];
  /** What is not the run's, with what it is. */
  foreign: Array<{path: string; what: string}>;
}

/**
 * Looks through the folder of a run, but not at a newer one in it; changes nothing, and follows no link.
 *
 * @param folder A real path.
 */
export function survey(folder: string): Survey {
  const finished = join(folder, FINISHED);
  // files that have moved on before their list did are on that one
  const lists = [
    FileList.read(folder),
    kindOf(finished) === 'folder' ? FileList.read(finished) : null,
  ];
  const isListed = (path: string): boolean => lists.some((list) => list?.has(path));
  const isMaking = (path: string): boolean => lists.some((list) => list?.isMaking(path));
  const isRun = lists.some((list) => list !== null);
  const found: Survey = {isRun, own: [], folders: [], foreign: []};
  const isOwn = (path: string): boolean => {
    const [parent, name] = [dirname(path), basename(path)];
    if (parent === '.') return isListed(path) || isPassingName(name);
    if (parent in passing) return isListed(`${parent}/`) && passing[parent]!(name);
    return (isListed(path) || isMaking(`${parent}/`)) && lasting[parent]!(name);
  };
  const look = (path: string): void => {
    const kind = kindOf(join(folder, path));
    const isFolder = folders.includes(path);
    if (kind === 'folder' && isFolder) {
      for (const inner of readdirSync(join(folder, path))) look(`${path}/${inner}`);
      found.folders.push(path);
    } else if (kind === 'file' && !isFolder && isOwn(path)) {
      found.own.push(path);
    } else if (kind !== null) {
      found.foreign.push({path, what: kindNames[kind]});
    }
  };
  for (const name of kindOf(folder) === 'folder' ? readdirSync(folder) : []) {
    if (name === FILE_LIST) continue;
    if (used.has(name) || (isRun && isPassingName(name))) look(name);
  }
  for (const name of [UNFINISHED, FINISHED, FILE_LIST]) {
    const kind = kindOf(join(folder, name));
    if (name === FILE_LIST && lists[0]) found.own.push(name);
    else if (kind !== null && (kind !== 'folder' || name === FILE_LIST))
      found.foreign.push({path: name, what: kindNames[kind]});
  }
  return found;
}

/** What is not a run's of all that a folder has under the names that runs use, with what it is; also where a newer run writes. */
export function foreignIn(folder: string): Survey['foreign'] {
  const {foreign} = survey(folder);
  for (const name of [UNFINISHED, FINISHED]) {
    const inner = join(folder, name);
    if (kindOf(inner) !== 'folder') continue;
    for (const {path, what} of survey(inner).foreign) foreign.push({path: `${name}/${path}`, what});
    for (const path of readdirSync(inner)) {
      if (used.has(path) || isPassingName(path)) continue;
      foreign.push({path: `${name}/${path}`, what: kindNames[kindOf(join(inner, path))!]});
    }
  }
  return foreign;
}

/** Removes from the folder of a run what is the run's, or what of that is in a folder in it. */
export function removeOwn(folder: string, within?: string): void {
  const isWithin = (path: string): boolean =>
    within === undefined || path === within || path.startsWith(`${within}/`);
  const {own, folders: inner} = survey(folder);
  for (const path of own.filter(isWithin)) rmSync(join(folder, path), {force: true});
  for (const path of inner.filter(isWithin)) removeEmpty(join(folder, path));
}

/** Removes files of a run that were not complete when it was killed. */
export function removePassing(folder: string): void {
  for (const path of survey(folder).own.filter(isPassingName)) rmSync(join(folder, path));
}

/** Removes a folder if there is one and nothing in it. */
export function removeEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch (error) {
    const {code} = error as NodeJS.ErrnoException;
    if (!['ENOENT', 'ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(code ?? '')) throw error;
  }
}

/** Where the run of a folder writes that has not come to its end. */
export function currentOf(path: string): string {
  const unfinished = join(path, UNFINISHED);
  return kindOf(unfinished) === 'folder' ? unfinished : path;
}

/** The files of a run that `--resume` reads before it begins: its options, its scores if it has any, and its checkpoints. */
export function filesOfRun(path: string): Record<'config' | 'scores' | 'checkpoints', string> {
  const current = currentOf(path);
  const {config, scores, checkpoints} = NAMES;
  return {
    config: join(current, config),
    scores: join(current, scores),
    checkpoints: join(current, checkpoints),
  };
}

/** Whether the log in a folder is of a run that has come to its end: a model may be there without a report. */
export function isDone(folder: string): boolean {
  const log = join(folder, NAMES.log);
  if (kindOf(log) !== 'file') return false;
  const last = readEnd(log, 1000).toString('utf8').trimEnd().split('\n').at(-1)!;
  return last === JSON.stringify(DONE);
}
