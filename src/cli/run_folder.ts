/** The folder of a run: its options, its log, and the model and report that come of it. */
import {closeSync, fsyncSync, mkdirSync, readdirSync, realpathSync, renameSync} from 'node:fs';
import {join} from 'node:path';
import {isWrittenName} from '../files/folder_commit';
import {lockFolder, type FolderLock} from '../files/folder_lock';
import {jsonText} from '../files/json';
import {
  appendWhole,
  createFile,
  kindOf,
  linesOf,
  makeFolder,
  readFile,
  replaceFile,
} from '../files/own_files';
import {reportPage, type RunRecord} from './report/report';
import type {BlockHistory} from '../owlore/sampling/periods';
import {FileList} from './file_list';
import {
  currentOf,
  DONE,
  FINISHED,
  isDone,
  MAX_LOG_BYTES,
  NAMES,
  partialOf,
  removeEmpty,
  removeOwn,
  removePassing,
  survey,
  UNFINISHED,
} from './run_files';
import {checkNotComplete, checkOwn, checkReplaceable} from './run_folder_checks';
import {checkedEntry, type LogEntry} from './training_monitor';
import {asUsage} from './usage_error';

/**
 * The folder of the run that is under way, locked until it ends.
 *
 * If an earlier run has left a model there, the new run writes to the folder `unfinished` in it, and replaces the earlier run when
 * all is done: there is always a complete run, with the config and the log of its model.
 *
 * What a run writes is on its list (`FileList`) before it is made, and made where nothing was: so nothing that a user or a stranger has
 * put there is replaced or removed, and no link is followed.
 */
export class RunFolder {
  /** Open from when the run begins or goes on. */
  private log: number | null = null;
  private history: (() => BlockHistory) | null = null;

  private constructor(
    /** As the user has named it. */
    readonly path: string,
    /** Where this run writes: `path`, or `unfinished` in it. */
    readonly current: string,
    private readonly lock: FolderLock,
    private readonly list: FileList,
  ) {}

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
      const current = prepare(realpathSync(path)) ? join(path, UNFINISHED) : path;
      const folder = new RunFolder(path, current, lock, FileList.create(current));
      folder.list.add(NAMES.log);
      folder.log = createFile(folder.in(NAMES.log));
      return folder;
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
      // once more, because another run may have written there since
      checkOwn(called, path);
      settle(realpathSync(path));
      checkNotComplete(called, path);
      const current = currentOf(path);
      const folder = new RunFolder(path, current, lock, FileList.open(current));
      removePassing(realpathSync(current));
      return folder;
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

  /** Where a job for Python is while it runs. */
  get job(): string {
    return this.in(NAMES.job);
  }

  /** What Python has said. */
  get pythonLog(): string {
    return this.in(NAMES.pythonLog);
  }

  /** Has the folder stay locked while another process lives that writes to it, or until what this returns is called. */
  holdFor(pid: number): () => void {
    this.checkIsThere();
    return this.lock.shareWith(pid);
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
   * @param history As the callback's option `blockHistory` takes it.
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
    this.makeCheckpoints();
    await save(this.checkpoints);
  }

  /** Makes the folder of checkpoints, if there is none. */
  makeCheckpoints(): void {
    this.list.add(`${NAMES.checkpoints}/`);
    makeFolder(this.checkpoints);
  }

  /** Makes the folder of a job anew. */
  makeJob(): void {
    this.checkIsThere();
    this.list.add(`${NAMES.job}/`, `${NAMES.job}/model/`);
    this.makeAnew(NAMES.job);
  }

  /** Makes a file for what Python says, of which the run may have one. */
  makePythonLog(): void {
    const before = this.list.has(NAMES.pythonLog) && kindOf(this.pythonLog) === 'file';
    this.replace(NAMES.pythonLog, before ? readFile(this.pythonLog) : '');
  }

  /**
   * Makes the folder of events for TensorBoard anew.
   *
   * @param open Opens files in it.
   */
  makeTensorBoard<T>(open: (folder: string) => T): T {
    this.checkIsThere();
    const folder = this.makeAnew(NAMES.tensorBoard);
    return this.list.addMade(
      `${NAMES.tensorBoard}/`,
      () => open(folder),
      () => readdirSync(folder).map((name) => `${NAMES.tensorBoard}/${name}`),
    );
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
    const kept = kindOf(log) === null ? [] : entriesUntil(log, step);
    const steps = kept.filter(({event}) => event === 'step');
    if (steps.length !== step)
      throw new Error(`${log} has ${steps.length} of the first ${step} steps of the run`);
    if (steps.some((entry, i) => entry.step !== i + 1))
      throw new Error(`${log} has not each of the first ${step} steps of the run, in their order`);
    const lines = kept.map((entry) => `${JSON.stringify(entry)}\n`).join('');
    if (this.log !== null) closeSync(this.log);
    this.log = null;
    this.log = this.replaceOpen(NAMES.log, lines);
    return kept;
  }

  /**
   * Goes on in another folder, with what the run has told of itself so far. What it has saved stays in the old one, as that of a run which
   * was killed.
   *
   * @throws UsageError as `checkRunFolder`; the run stays where it is.
   */
  moveTo(path: string): void {
    const other = RunFolder.open('finetune: the folder', path, false);
    try {
      for (const name of [NAMES.config, NAMES.scores]) {
        const file = this.in(name);
        if (kindOf(file) === 'file') other.replace(name, readFile(file));
      }
      appendWhole(other.log!, readFile(this.in(NAMES.log)));
    } catch (error) {
      other.closeLog();
      other.lock.release();
      throw error;
    }
    const {history} = this;
    this.closeLog();
    this.lock.release();
    Object.assign(this, other, {history});
  }

  /** Saves the adapter of LoRA, before the model. */
  async saveAdapter(save: (target: string) => Promise<unknown>): Promise<void> {
    await this.saveFolder(NAMES.adapter, save);
  }

  /** Saves the model, which appears in the folder when all of it is written. */
  async saveModel<T>(save: (target: string) => Promise<T>): Promise<T> {
    return this.saveFolder(NAMES.model, save);
  }

  writeReport(run: RunRecord): void {
    this.checkIsThere();
    this.replace(NAMES.report, reportPage(run));
  }

  /** Ends a run that is complete, and replaces the earlier one. */
  finish(): void {
    this.endLog(DONE);
    removeTemporary(realpathSync(this.current));
    if (this.replacesEarlier) replaceEarlier(realpathSync(this.path));
    this.lock.release();
  }

  /** Ends a run that is not complete. */
  stop(end: {state: 'interrupted'} | {state: 'failed'; error: string}): void {
    try {
      this.endLog({event: 'end', ...end});
    } finally {
      this.closeLog();
      if (this.lock.isHeld()) {
        for (const name of [partialOf(NAMES.model), partialOf(NAMES.adapter), NAMES.job])
          removeOwn(realpathSync(this.current), name);
      }
      this.lock.release();
    }
  }

  /** Writes the last line of the log; without it the run was killed. */
  private endLog(end: {event: 'end'; state: string; error?: string}): void {
    if (this.log === null) return;
    if (this.history) this.writeJson(NAMES.blockHistory, this.history());
    this.appendLine(end);
    this.closeLog();
  }

  private closeLog(): void {
    if (this.log !== null) closeSync(this.log);
    this.log = null;
  }

  private appendLine(entry: object): void {
    this.checkIsThere();
    appendWhole(this.log!, `${JSON.stringify(entry)}\n`);
  }

  private writeJson(name: string, value: object): void {
    this.checkIsThere();
    this.replace(name, jsonText(value));
  }

  /** Saves a folder of files, which appears when all of it is written. */
  private async saveFolder<T>(name: string, save: (target: string) => Promise<T>): Promise<T> {
    this.checkIsThere();
    const partial = partialOf(name);
    this.list.add(`${partial}/`);
    const saved = await save(this.makeAnew(partial));
    this.checkIsThere();
    // of the same run, which then failed to write its report
    this.remove(name);
    const files = readdirSync(this.in(partial)).filter(isWrittenName);
    this.list.add(...files.map((file) => `${name}/${file}`));
    renameSync(this.in(partial), this.in(name));
    return saved;
  }

  /** Makes a folder, without what the run had in it; returns its path. */
  private makeAnew(name: string): string {
    this.remove(name);
    mkdirSync(this.in(name));
    return this.in(name);
  }

  /** Removes a folder of the run; throws if there is anything else in it. */
  private remove(name: string): void {
    removeOwn(realpathSync(this.current), name);
    const kind = kindOf(this.in(name));
    if (kind === null) return;
    const [other] = kind === 'folder' ? readdirSync(this.in(name)) : [];
    throw inTheWay(other === undefined ? this.in(name) : join(this.in(name), other));
  }

  /** Writes a file of the run; one that is there stays until all of the new one is written. */
  private replace(name: string, content: string | Uint8Array): void {
    closeSync(this.replaceOpen(name, content));
  }

  /** The same; the file stays open, at its end. */
  private replaceOpen(name: string, content: string | Uint8Array): number {
    const path = this.in(name);
    const kind = kindOf(path);
    const isOwn = kind === 'file' && this.list.has(name);
    if (kind !== null && !isOwn) throw inTheWay(path);
    this.list.add(name);
    return replaceFile(path, content);
  }

  /** A file that is open can be written to even if it was removed, and nobody would ever see it. */
  private checkIsThere(): void {
    const isLogThere = this.log === null || kindOf(this.in(NAMES.log)) === 'file';
    if (this.lock.isHeld() && isLogThere) return;
    throw new Error(
      `the folder '${this.path}' was removed, moved or replaced during the run, or the log or the lock in it`,
    );
  }

  private in(name: string): string {
    return join(this.current, name);
  }
}

/** The entries of a log up to a step. What follows is not read: a log goes from step to step. */
function entriesUntil(log: string, step: number): LogEntry[] {
  const entries: LogEntry[] = [];
  for (const line of linesOf(log, MAX_LOG_BYTES)) {
    for (const entry of parseEntry(log, line)) {
      if (entry.step > step) return entries;
      entries.push(entry);
    }
  }
  return entries;
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

/** Makes room for a run; returns whether that is in the folder `unfinished`. */
function prepare(path: string): boolean {
  settle(path);
  const unfinished = join(path, UNFINISHED);
  removeOwn(unfinished);
  removeEmpty(unfinished);
  if (survey(path).own.some((file) => file.startsWith(`${NAMES.model}/`))) {
    mkdirSync(unfinished);
    return true;
  }
  removeOwn(path);
  return false;
}

/** Goes on where a process was killed while it replaced an earlier run by one that is complete. */
function settle(path: string): void {
  const unfinished = join(path, UNFINISHED);
  if (kindOf(unfinished) === 'folder' && isDone(unfinished)) {
    removeTemporary(unfinished);
    replaceEarlier(path);
  } else {
    moveFinished(path);
  }
}

/** Removes what a run needs until it is complete. */
function removeTemporary(folder: string): void {
  for (const name of [NAMES.checkpoints, NAMES.job]) removeOwn(folder, name);
}

/** Replaces the earlier run by the one in `unfinished`, which is complete. */
function replaceEarlier(path: string): void {
  removeOwn(path);
  renameSync(join(path, UNFINISHED), join(path, FINISHED));
  moveFinished(path);
}

/** Moves a complete run from `finished` to its place, or what is left of it there; the list comes last. */
function moveFinished(path: string): void {
  const finished = join(path, FINISHED);
  if (kindOf(finished) !== 'folder') return;
  const {own, foreign, ...found} = survey(finished);
  const folders = found.folders.filter((name) => own.some((file) => file.startsWith(`${name}/`)));
  for (const folder of folders) {
    const isWhole = !foreign.some((each) => each.path.startsWith(`${folder}/`));
    // so that nobody sees a part of a model
    if (isWhole && kindOf(join(path, folder)) === null)
      renameSync(join(finished, folder), join(path, folder));
    else makeFolder(join(path, folder));
  }
  for (const file of own) {
    const place = join(path, file);
    if (kindOf(join(finished, file)) === null) continue; // with its folder
    if (kindOf(place) !== null) throw inTheWay(place);
    renameSync(join(finished, file), place);
  }
  for (const folder of found.folders) removeEmpty(join(finished, folder));
  removeEmpty(finished);
}

function inTheWay(place: string): Error {
  return new Error(`'${place}' is not of this run, and where it writes; move it away`);
}
