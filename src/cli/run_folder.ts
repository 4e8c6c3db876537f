/** The folder of a run: its options, its log, and the model and report that come of it. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import {join} from 'node:path';
import {lockFolder, type FolderLock} from '../files/folder_lock';
import {jsonText} from '../files/json';
import {writeReport, type RunRecord} from '../report/report';
import type {BlockHistory} from '../sampling/periods';
import {currentOf, DONE, FINISHED, isDone, NAMES, PARTIAL_MODEL, UNFINISHED} from './run_files';
import {checkNotComplete, checkReplaceable} from './run_folder_checks';
import {checkedEntry, type LogEntry} from './training_monitor';
import {asUsage} from './usage_error';

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
      settle(path);
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
    // of the same run, which then failed to write its report
    rmSync(this.in(NAMES.model), {recursive: true, force: true});
    renameSync(this.in(PARTIAL_MODEL), this.in(NAMES.model));
  }

  writeReport(run: RunRecord): void {
    this.checkIsThere();
    writeReport(this.in(NAMES.report), run);
  }

  /** Ends a run that is complete, and replaces the earlier one. */
  finish(): void {
    this.endLog(DONE);
    removeTemporary(this.current);
    if (this.replacesEarlier) replaceEarlier(this.path);
    this.lock.release();
  }

  /** Ends a run that is not complete. */
  stop(end: {state: 'interrupted'} | {state: 'failed'; error: string}): void {
    try {
      this.endLog({event: 'end', ...end});
    } finally {
      if (this.lock.isHeld()) {
        for (const temporary of [this.in(PARTIAL_MODEL), this.job])
          rmSync(temporary, {recursive: true, force: true});
      }
      this.lock.release();
    }
  }

  /** Writes the last line of the log; without it the run was killed. */
  private endLog(end: {event: 'end'; state: string; error?: string}): void {
    if (this.log === null) return;
    try {
      if (this.history) this.writeJson(NAMES.schedule, this.history());
      this.appendLine(end);
    } finally {
      closeSync(this.log);
      this.log = null;
    }
  }

  private appendLine(entry: object): void {
    this.checkIsThere();
    // unlike writeSync, all of it or an error
    writeFileSync(this.log!, `${JSON.stringify(entry)}\n`);
  }

  private writeJson(name: string, value: object): void {
    this.checkIsThere();
    this.replace(name, jsonText(value));
  }

  /** Writes a file; one that is there stays until all of the new one is written. */
  private replace(name: string, text: string): void {
    const path = this.in(name);
    writeFileSync(`${path}.partial`, text);
    renameSync(`${path}.partial`, path);
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

/** Makes room for a run; returns the folder that it writes to. */
function prepare(path: string): string {
  settle(path);
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

/** Goes on where a process was killed while it replaced an earlier run by one that is complete. */
function settle(path: string): void {
  const unfinished = join(path, UNFINISHED);
  if (isDone(unfinished)) {
    removeTemporary(unfinished);
    replaceEarlier(path);
  } else if (existsSync(join(path, FINISHED))) {
    moveFinished(path);
  }
}

/** Removes what a run needs until it is complete. */
function removeTemporary(folder: string): void {
  for (const name of [NAMES.checkpoints, NAMES.job])
    rmSync(join(folder, name), {recursive: true, force: true});
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

/** Moves a complete run from `finished` to its place, or what is left of it there. */
function moveFinished(path: string): void {
  const finished = join(path, FINISHED);
  for (const name of readdirSync(finished)) {
    rmSync(join(path, name), {recursive: true, force: true});
    renameSync(join(finished, name), join(path, name));
  }
  rmSync(finished, {recursive: true});
}
