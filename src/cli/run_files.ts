/** What is in the folder of a run, and how far that run has come. */
import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';

/** All that a run leaves in its folder. */
export const NAMES = {
  config: 'config.json',
  log: 'log.jsonl',
  scores: 'scores.json',
  schedule: 'schedule.json',
  report: 'report.html',
  checkpoints: 'checkpoints',
  adapter: 'adapter',
  model: 'model',
  tensorBoard: 'tensorboard',
  job: 'torch',
  pythonLog: 'torch.log',
} as const;

/** The last line in the log of a run that has come to its end. */
export const DONE = {event: 'end', state: 'done'} as const;

/** The model while it is being written. */
export const PARTIAL_MODEL = 'model.partial';
/** Where a run writes that will replace an earlier one in the same folder. */
export const UNFINISHED = 'unfinished';
/** Its name from the moment when the run is complete until its files have replaced those of the earlier one. */
export const FINISHED = 'finished';

/** Where the run of a folder writes that has not come to its end. */
export function currentOf(path: string): string {
  const unfinished = join(path, UNFINISHED);
  return existsSync(unfinished) ? unfinished : path;
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
  if (!existsSync(log)) return false;
  const last = readFileSync(log, 'utf8').trimEnd().split('\n').at(-1)!;
  return last === JSON.stringify(DONE);
}
