/** The folder of a run: its options, its log, and the model and report that come of it. */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import {dirname, join, resolve} from 'node:path';
import {jsonText} from '../files/json';
import type {BlockHistory} from '../sampling/periods';
import {writeReport, type RunRecord} from '../report/report';
import {checkUnlocked, lockFolder, LOCK_NAME, type FolderLock} from '../files/folder_lock';
import {checkedEntry, type LogEntry} from './training_monitor';
import {asUsage, UsageError} from './usage_error';

/** All that a run leaves in its folder. */
const NAMES = {
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

/** The model while it is being written. */
const PARTIAL_MODEL = 'model.partial';
/** Where a run writes that will replace an earlier one in the same folder. */
const UNFINISHED = 'unfinished';
/** Its name from the moment when the run is complete until its files have replaced those of the earlier one. */
const FINISHED = 'finished';

/**
 * Checks that a run may write to `path`; changes nothing.
 *
 * @param called What a message calls the option.
 * @throws UsageError if another run is writing there, if the folder is not empty and `overwrite` is false, if what would be
 *   overwritten is not an earlier run, or if nothing may be written there.
 */
export function checkRunFolder(called: string, path: string, overwrite: boolean): void {
  asUsage(() => checkUnlocked(called, path));
  checkReplaceable(called, path, overwrite);
  checkWritable(called, path);
}

/** The folder is made when model, data and scores are there, which takes minutes; this is known at once. */
function checkWritable(called: string, path: string): void {
  let place = resolve(path);
  while (!existsSync(place)) place = dirname(place);
  try {
    accessSync(place, constants.W_OK);
  } catch (cause) {
    const {code} = cause as NodeJS.ErrnoException;
    throw new UsageError(
      `${called}: the folder '${place}' may not be written to (${code}); take another one, or change its permissions`,
      {cause},
    );
  }
}

function checkReplaceable(called: string, path: string, overwrite: boolean): void {
  const entries = entriesOf(called, path);
  if (entries.length === 0) return;
  if (!overwrite) {
    throw new UsageError(
      `${called}: the folder '${path}' is not empty; take another one, or --overwrite, which replaces an earlier run in it`,
    );
  }
  const replaced = Object.values(NAMES).filter((name) => entries.includes(name));
  const isRun = [NAMES.log, FINISHED].some((name) => entries.includes(name));
  if (replaced.length > 0 && !isRun) {
    throw new UsageError(
      `${called}: the folder '${path}' has ${replaced.join(', ')}, but is not that of an earlier run, which would have ` +
        `${NAMES.log}; take another one`,
    );
  }
}

/**
 * Checks that the run in a folder can go on; changes nothing.
 *
 * @param called What a message calls the option.
 * @throws UsageError if another process is writing there, if the run is complete, or if nothing may be written there.
 */
export function checkResumable(called: string, path: string): void {
  asUsage(() => checkUnlocked(called, path));
  checkNotComplete(called, path);
  checkWritable(called, path);
}

function checkNotComplete(called: string, path: string): void {
  if (!existsSync(join(currentOf(path), NAMES.model))) return;
  throw new UsageError(
    `${called}: the run in '${path}' has come to its end; there is nothing to go on with`,
  );
}

/** The names of what is in a folder, without locks; none if there is no such folder. */
function entriesOf(called: string, path: string): string[] {
  try {
    return readdirSync(path).filter((name) => !name.startsWith(LOCK_NAME));
  } catch (cause) {
    const {code, message} = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return [];
    const reason = code === 'ENOTDIR' ? 'is a file' : `cannot be read: ${message}`;
    throw new UsageError(`${called}: '${path}' ${reason}`, {cause});
  }
}

/**
 * The folder of the run that is under way, locked until it ends.
 *
 * If an earlier run has left a model there, the new run writes to the folder `unfinished` in it, and replaces the earlier run when
 * all is done: there is always a complete run, with the config and the log of its model.
 */
export class RunFolder {
  private log: number | null;
  private history: (() => BlockHistory) | null = null;

  private constructor(
    /** As the user has named it. */
    readonly path: string,
    /** Where this run writes: `path`, or `unfinished` in it. */
    readonly current: string,
    private readonly lock: FolderLock,
    flags: 'w' | 'a',
  ) {
    this.log = openSync(this.in(NAMES.log), flags);
  }

  /**
   * Makes the folder if there is none, and removes what is left there of an earlier run without a model.
   *
   * @throws UsageError as `checkRunFolder`.
   */
  static open(called: string, path: string, overwrite: boolean): RunFolder {
    mkdirSync(path, {recursive: true});
    const lock = asUsage(() => lockFolder(called, path));
    try {
      // once more, because another run may have written there since
      checkReplaceable(called, path, overwrite);
      return new RunFolder(path, prepare(path), lock, 'w');
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /**
   * Opens the folder of a run that has stopped, to go on with it.
   *
   * @throws UsageError as `checkResumable`.
   */
  static resume(called: string, path: string): RunFolder {
    const lock = asUsage(() => lockFolder(called, path));
    try {
      if (existsSync(join(path, FINISHED))) moveFinished(path);
      checkNotComplete(called, path);
      return new RunFolder(path, currentOf(path), lock, 'a');
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** Where the model will be when the run is done. */
  get model(): string {
    return join(this.path, NAMES.model);
  }

  /** Where the adapter of LoRA will be when the run is done. */
  get adapter(): string {
    return join(this.path, NAMES.adapter);
  }

  /** Where the report will be when the run is done. */
  get report(): string {
    return join(this.path, NAMES.report);
  }

  /** Where checkpoints are until the run is done. */
  get checkpoints(): string {
    return this.in(NAMES.checkpoints);
  }

  /** Where events for TensorBoard go. */
  get tensorBoard(): string {
    return this.in(NAMES.tensorBoard);
  }

  /** Where a job for Python is while it runs. */
  get job(): string {
    return this.in(NAMES.job);
  }

  /** What Python has said. */
  get pythonLog(): string {
    return this.in(NAMES.pythonLog);
  }

  /** Whether this run will replace an earlier one, which is there until then. */
  get replacesEarlier(): boolean {
    return this.current !== this.path;
  }

  /** Writes the options in effect, which `--config` takes. */
  writeConfig(options: object): void {
    this.writeJson(NAMES.config, options);
  }

  /** Writes the scores of the blocks, which `--scores` takes. */
  writeScores(scores: object): void {
    this.writeJson(NAMES.scores, scores);
  }

  /**
   * Has the run write, when it ends, which blocks were on in each period.
   *
   * @param history As the callback's option `schedule` takes it.
   */
  keepHistory(history: () => BlockHistory): void {
    this.history = history;
  }

  /** Appends a line to the log. */
  append(entry: LogEntry): void {
    this.appendLine(entry);
  }

  /** Saves a checkpoint. */
  async saveCheckpoint(save: (target: string) => Promise<unknown>): Promise<void> {
    this.checkIsThere();
    // a checkpoint is of no use without the log until then
    fsyncSync(this.log!);
    await save(this.checkpoints);
  }

  /**
   * Removes from the log what came after a step, and its end.
   *
   * @returns what is left.
   * @throws if the log has not all steps until then.
   */
  rewindLog(step: number): LogEntry[] {
    this.checkIsThere();
    const log = this.in(NAMES.log);
    const kept = readFileSync(log, 'utf8')
      .split('\n')
      .flatMap((line) => parseEntry(log, line))
      .filter((entry) => entry.step <= step);
    const steps = kept.filter(({event}) => event === 'step');
    if (steps.length !== step)
      throw new Error(`${log} has ${steps.length} of the first ${step} steps of the run`);
    if (steps.some((entry, i) => entry.step !== i + 1))
      throw new Error(`${log} has not each of the first ${step} steps of the run, in their order`);
    writeFileSync(`${log}.partial`, kept.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
    closeSync(this.log!);
    renameSync(`${log}.partial`, log);
    this.log = openSync(log, 'a');
    return kept;
  }

  /** Saves the adapter of LoRA, before the model. */
  async saveAdapter(save: (target: string) => Promise<unknown>): Promise<void> {
    this.checkIsThere();
    await save(this.in(NAMES.adapter));
  }

  /** Saves the model, which appears in the folder when all of it is written. */
  async saveModel(save: (target: string) => Promise<unknown>): Promise<void> {
    this.checkIsThere();
    await save(this.in(PARTIAL_MODEL));
    this.checkIsThere();
    renameSync(this.in(PARTIAL_MODEL), this.in(NAMES.model));
  }

  writeReport(run: RunRecord): void {
    this.checkIsThere();
    writeReport(this.in(NAMES.report), run);
  }

  /** Ends a run that is complete, and replaces the earlier one. */
  finish(): void {
    for (const temporary of [this.checkpoints, this.job])
      rmSync(temporary, {recursive: true, force: true});
    this.endLog({state: 'done'});
    if (this.replacesEarlier) replaceEarlier(this.path);
    this.lock.release();
  }

  /** Ends a run that is not complete. */
  stop(end: {state: 'interrupted'} | {state: 'failed'; error: string}): void {
    try {
      this.endLog(end);
    } finally {
      if (this.lock.isHeld()) {
        for (const temporary of [this.in(PARTIAL_MODEL), this.job])
          rmSync(temporary, {recursive: true, force: true});
      }
      this.lock.release();
    }
  }

  /** Writes the last line of the log; without it the run was killed. */
  private endLog(end: {state: string; error?: string}): void {
    if (this.log === null) return;
    try {
      if (this.history) this.writeJson(NAMES.schedule, this.history());
      this.appendLine({event: 'end', ...end});
    } finally {
      closeSync(this.log);
      this.log = null;
    }
  }

  private appendLine(entry: object): void {
    this.checkIsThere();
    writeSync(this.log!, `${JSON.stringify(entry)}\n`);
  }

  private writeJson(name: string, value: object): void {
    this.checkIsThere();
    writeFileSync(this.in(name), jsonText(value));
  }

  /** A file that is open can be written to even if it was removed, and nobody would ever see it. */
  private checkIsThere(): void {
    if (this.lock.isHeld() && existsSync(this.in(NAMES.log))) return;
    throw new Error(
      `the folder '${this.path}' was removed, moved or replaced during the run, or the log or the lock in it`,
    );
  }

  private in(name: string): string {
    return join(this.current, name);
  }
}

/** A line of a log; nothing if it was not written to its end, because the process was killed, or if it is the last of a run. */
function parseEntry(log: string, line: string): LogEntry[] {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    if (error instanceof SyntaxError) return [];
    throw error;
  }
  const entry = checkedEntry(log, value);
  return entry ? [entry] : [];
}

/** Where the run of a folder writes that has not come to its end. */
function currentOf(path: string): string {
  const unfinished = join(path, UNFINISHED);
  return existsSync(unfinished) ? unfinished : path;
}

/** The files of a run that `--resume` reads before it begins: its options, and its scores if it has any. */
export function filesOfRun(path: string): {config: string; scores: string} {
  const current = currentOf(path);
  return {config: join(current, NAMES.config), scores: join(current, NAMES.scores)};
}

/** Makes room for a run; returns the folder that it writes to. */
function prepare(path: string): string {
  if (existsSync(join(path, FINISHED))) moveFinished(path);
  const unfinished = join(path, UNFINISHED);
  rmSync(unfinished, {recursive: true, force: true});
  if (existsSync(join(path, NAMES.model))) {
    mkdirSync(unfinished);
    return unfinished;
  }
  for (const name of [...Object.values(NAMES), PARTIAL_MODEL]) {
    rmSync(join(path, name), {recursive: true, force: true});
  }
  return path;
}

/** Replaces the earlier run by the one in `unfinished`, which is complete. */
function replaceEarlier(path: string): void {
  const unfinished = join(path, UNFINISHED);
  for (const name of Object.values(NAMES)) {
    if (!existsSync(join(unfinished, name)))
      rmSync(join(path, name), {recursive: true, force: true});
  }
  renameSync(unfinished, join(path, FINISHED));
  moveFinished(path);
}

/** Moves a complete run from `finished` to its place; goes on with it if a process was killed while it did that. */
function moveFinished(path: string): void {
  const finished = join(path, FINISHED);
  for (const name of readdirSync(finished)) {
    rmSync(join(path, name), {recursive: true, force: true});
    renameSync(join(finished, name), join(path, name));
  }
  rmSync(finished, {recursive: true});
}
