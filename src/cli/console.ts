/**
 * What people and programs see: results on stdout; messages and progress on stderr. With `--json` stdout has exactly one
 * JSON object, the result or `{"error": "…"}`.
 */
import {startProgress, type Progress, type ProgressOptions} from './progress';
import {inWidth, style, withVisibleControls} from './style';

/** A stream that a command writes to. */
export interface OutputStream extends NodeJS.WritableStream {
  isTTY?: boolean;
  /** Characters in a line, of a terminal. */
  columns?: number;
  /** Whether it can show bold and dim letters. */
  hasColors?(): boolean;
}

/** The two streams of a command. */
export class CommandConsole {
  /** The progress that is being shown. */
  private running: Progress | null = null;

  constructor(
    private readonly stdout: OutputStream,
    private readonly stderr: OutputStream,
    /** Whether stdout is read by a program, by `--json`. */
    readonly isJson: boolean,
  ) {}

  /** Whether the result is written to a terminal, where somebody may be watching. */
  get isWatched(): boolean {
    return !this.isJson && this.stdout.isTTY === true;
  }

  /** A line on stderr, in which control characters can be seen. */
  note(line: string): void {
    const shown = inWidth(withVisibleControls(line), this.stderr);
    if (this.running) this.running.line(shown);
    else this.stderr.write(`${shown}\n`);
  }

  /** A part of the result for people, in a terminal with control characters that can be seen; with `--json` nothing. */
  write(text: string, {isDim = false} = {}): void {
    if (this.isJson) return;
    const shown = this.isWatched ? withVisibleControls(text) : text;
    this.stdout.write(isDim && this.stdout.hasColors?.() ? style('dim', shown) : shown);
  }

  /** A line of the result for people; with `--json` nothing. */
  print(line = ''): void {
    this.write(`${line}\n`);
  }

  /** The result for programs: without `--json` nothing. */
  result(value: object): void {
    if (this.isJson) this.stdout.write(`${JSON.stringify(value)}\n`);
  }

  /** Shows progress on stderr until `end` is called. */
  progress(options: ProgressOptions): Progress {
    const progress = startProgress(this.stderr, options);
    this.running = progress;
    return {...progress, end: () => this.endProgress()};
  }

  /** Ends the progress that is being shown, if there is any. */
  endProgress(): void {
    this.running?.end();
    this.running = null;
  }
}
