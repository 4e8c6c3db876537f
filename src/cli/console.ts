/**
 * What people and programs see: results on stdout; messages and progress on stderr. With `--json` stdout has exactly one
 * JSON object, the result or `{"error": "…"}`.
 */
import {createInterface} from 'node:readline/promises';
import {startProgress, type Progress, type ProgressOptions} from './progress';
import {
  columnsOf,
  inOneLine,
  inWidth,
  style,
  withVisibleControls,
  type OutputStream,
} from './style';
import {WordWrap} from './word_wrap';

/** A part of the result that comes in pieces. */
export interface TextOutput {
  write(text: string, options?: {isDim?: boolean}): void;
  /** Writes the rest, what was held back, and the end of the line. */
  end(rest?: string): void;
}

/** The two streams of a command: nothing else writes to a terminal, and nothing of a stranger reaches one as it is. */
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

  /** Whether the result may be in colours. */
  get hasColors(): boolean {
    return !this.isJson && this.stdout.hasColors?.() === true;
  }

  /** The terminal that the result is written to, null if it is something else. */
  get terminal(): OutputStream | null {
    return this.isWatched ? this.stdout : null;
  }

  /** A line on stderr, in which control characters can be seen, ends of lines too: a name must not make a second one. */
  note(line: string): void {
    const shown = inWidth(inOneLine(line), this.stderr);
    if (this.running) this.running.line(shown);
    else this.stderr.write(`${shown}\n`);
  }

  /** A part of the result for people, in a terminal with control characters that can be seen; with `--json` nothing. */
  write(text: string, {isDim = false, color}: {isDim?: boolean; color?: 'green'} = {}): void {
    if (this.isJson) return;
    const shown = this.isWatched ? withVisibleControls(text) : text;
    const as = color ?? (isDim ? 'dim' : undefined);
    this.stdout.write(as && this.hasColors ? style(as, shown) : shown);
  }

  /** A text that comes in pieces, as {@link write}; the lines of a terminal break between words. */
  startText(): TextOutput {
    const wrap = this.isWatched ? new WordWrap(() => columnsOf(this.stdout)) : null;
    return {
      write: (text, options) => {
        // what follows in another style is not part of the word
        const shown = wrap?.push(withVisibleControls(text)) ?? text;
        this.write(wrap && options?.isDim ? shown + wrap.flush() : shown, options);
      },
      end: (rest = '') =>
        this.print(wrap ? wrap.push(withVisibleControls(rest)) + wrap.flush() : rest),
    };
  }

  /** A line of the result for people; with `--json` nothing. */
  print(line = ''): void {
    this.write(`${line}\n`);
  }

  /** Whether somebody may be asked. */
  canAsk(stdin: NodeJS.ReadableStream & {isTTY?: boolean}): boolean {
    return stdin.isTTY === true && this.stderr.isTTY === true;
  }

  /** The line that is typed into a terminal, without spaces around it; null if none comes: after Ctrl-D, Ctrl-C or a signal. */
  async ask(stdin: NodeJS.ReadableStream, signal?: AbortSignal): Promise<string | null> {
    const readline = createInterface({input: stdin, output: this.stderr, terminal: true});
    const closed = new Promise<null>((resolve) => readline.once('close', () => resolve(null)));
    readline.once('SIGINT', () => readline.close());
    const line = readline.question('> ', signal ? {signal} : {}).catch(() => null);
    try {
      return (await Promise.race([line, closed]))?.trim() ?? null;
    } finally {
      readline.close();
    }
  }

  /** The result for programs, with control characters escaped: without `--json` nothing. */
  result(value: object): void {
    if (this.isJson) this.stdout.write(`${withVisibleControls(JSON.stringify(value))}\n`);
  }

  /** Shows progress on stderr until `end` is called. */
  progress(options: ProgressOptions): Progress {
    const progress = startProgress(this.stderr, {...options, label: inOneLine(options.label)});
    this.running = progress;
    return {
      ...progress,
      update: (done, what) => progress.update(done, what && inOneLine(what)),
      end: () => this.endProgress(),
    };
  }

  /** Ends the progress that is being shown, if there is any. */
  endProgress(): void {
    this.running?.end();
    this.running = null;
  }
}
