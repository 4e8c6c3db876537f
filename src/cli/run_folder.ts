/** The folder of a run: what it was asked, how it went, what came out. */
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import {join, relative, resolve} from 'node:path';
import {jsonText} from '../files/json';
import type {BlockHistory} from '../sampling/periods';
import {writeReport, type RunRecord} from '../report/report';
import type {LogEntry} from './training_monitor';
import {UsageError} from './usage_error';

/** How a run ended. */
export type RunState = 'done' | 'failed' | 'interrupted';

/** All that a run writes. */
const NAMES = {
  config: 'config.json',
  log: 'log.jsonl',
  scores: 'scores.json',
  schedule: 'schedule.json',
  report: 'report.html',
  model: 'model',
  tensorBoard: 'tensorboard',
} as const;

/**
 * Throws unless a run may write to `path`; changes nothing.
 *
 * @param called What a message calls the option.
 * @param model The model that the run reads.
 */
export function checkRunFolder(
  called: string,
  path: string,
  {overwrite, model}: {overwrite: boolean; model: string},
): void {
  const entries = entriesOf(called, path);
  if (entries.length > 0 && !overwrite) {
    throw new UsageError(
      `${called}: the folder '${path}' is not empty; take another one, or --overwrite, which replaces an earlier run in it`,
    );
  }
  const isInside = !relative(join(resolve(path), NAMES.model), resolve(model)).startsWith('..');
  if (isInside) {
    throw new UsageError(
      `${called}: the model '${model}' is in the folder '${path}' and would be replaced; take another one`,
    );
  }
}

function entriesOf(called: string, path: string): string[] {
  try {
    return readdirSync(path);
  } catch (cause) {
    const {code, message} = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return [];
    const reason = code === 'ENOTDIR' ? 'is a file' : `cannot be read: ${message}`;
    throw new UsageError(`${called}: '${path}' ${reason}`, {cause});
  }
}

/** The folder of the run that is under way. */
export class RunFolder {
  private log: number | null;

  /** Makes the folder, and removes everything of an earlier run in it. */
  constructor(readonly path: string) {
    mkdirSync(path, {recursive: true});
    for (const name of Object.values(NAMES)) rmSync(this.in(name), {recursive: true, force: true});
    this.log = openSync(this.in(NAMES.log), 'w');
  }

  /** Where the model goes. */
  get model(): string {
    return this.in(NAMES.model);
  }

  get report(): string {
    return this.in(NAMES.report);
  }

  /** Where events for TensorBoard go. */
  get tensorBoard(): string {
    return this.in(NAMES.tensorBoard);
  }

  /** The options in effect, which `--config` takes. */
  writeConfig(options: object): void {
    writeFileSync(this.in(NAMES.config), jsonText(options));
  }

  /** The scores of the blocks, which `--scores` takes. */
  writeScores(scores: object): void {
    writeFileSync(this.in(NAMES.scores), jsonText(scores));
  }

  /** Which blocks were on in each period, as the callback's option `schedule` takes it. */
  writeHistory(history: BlockHistory): void {
    writeFileSync(this.in(NAMES.schedule), jsonText(history));
  }

  writeReport(run: RunRecord): void {
    writeReport(this.report, run);
  }

  /** A line of the log. */
  append(entry: LogEntry): void {
    this.write(entry);
  }

  /** Writes the last line of the log; without it the run was killed. Removes a model that is not complete. */
  end(state: RunState, error?: string): void {
    if (this.log === null) return;
    this.write({event: 'end', state, ...(error !== undefined && {error})});
    closeSync(this.log);
    this.log = null;
    if (state !== 'done') rmSync(this.model, {recursive: true, force: true});
  }

  private write(entry: object): void {
    if (this.log !== null) writeSync(this.log, `${JSON.stringify(entry)}\n`);
  }

  private in(name: string): string {
    return join(this.path, name);
  }
}
