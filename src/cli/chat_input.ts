/** What a person types into a chat, or what a script sends to it. */
import {createInterface, type Interface} from 'node:readline/promises';
import {Writable} from 'node:stream';
import type {OutputStream} from './style';
import {columnsOf, style, withVisibleControls} from './style';

const PROMPT = '> ';

/**
 * The lines of stdin. In a terminal a line is asked for and can be edited, with the lines before it in reach of the arrow keys. What
 * is typed or pasted at other times is shown when it is its turn: lines one by one, and what has no end yet in the line that is asked for.
 */
export class ChatInput {
  private readonly lines: string[] = [];
  private readonly readline: Interface;
  private readonly screen: Screen | null;
  private waiting: ((line: string | null) => void) | null = null;
  private isClosed = false;

  /**
   * @param terminal Where the lines are typed; null if they come from elsewhere.
   * @param onInterrupt Called at a Ctrl-C in a terminal while no line is asked for.
   */
  constructor(
    stdin: NodeJS.ReadableStream,
    terminal: OutputStream | null,
    private readonly onInterrupt: () => void,
  ) {
    this.screen = terminal && new Screen(terminal);
    this.readline = createInterface({
      input: stdin,
      ...(this.screen && {output: this.screen}),
      terminal: terminal !== null,
      prompt: terminal?.hasColors?.() ? style('bold', PROMPT) : PROMPT,
    });
    this.readline.on('line', (line) => this.receive(line));
    this.readline.on('close', () => {
      this.isClosed = true;
      this.answer(null);
    });
    this.readline.on('SIGINT', () => this.interrupt());
  }

  /** The next line; null if none follows: after Ctrl-D, or Ctrl-C in an empty line. */
  async next(): Promise<string | null> {
    const line = this.lines.shift();
    if (line !== undefined)
      this.screen?.show(`${this.readline.getPrompt()}${withVisibleControls(line)}\n`);
    if (line !== undefined || this.isClosed) return line ?? null;
    return new Promise((resolve) => {
      this.waiting = resolve;
      if (!this.screen) return;
      this.screen.isShown = true;
      // rows that were not shown are none to go back over
      Object.assign(this.readline, {prevRows: 0});
      this.readline.prompt(true);
    });
  }

  close(): void {
    this.readline.close();
  }

  private receive(line: string): void {
    if (this.waiting) this.answer(line);
    else this.lines.push(line);
  }

  private answer(line: string | null): void {
    const {waiting, screen} = this;
    this.waiting = null;
    if (line === null && waiting) screen?.write('\n');
    if (screen) screen.isShown = false;
    waiting?.(line);
  }

  private interrupt(): void {
    if (!this.waiting) {
      this.onInterrupt();
    } else if (this.readline.line === '') {
      this.readline.close();
    } else {
      for (const name of ['e', 'u']) this.readline.write(null, {ctrl: true, name});
    }
  }
}

/** A terminal on which what is typed can be seen, or not. */
class Screen extends Writable {
  isShown = false;

  constructor(private readonly terminal: OutputStream) {
    super({decodeStrings: false});
    terminal.on('resize', () => this.emit('resize'));
  }

  get columns(): number {
    return columnsOf(this.terminal);
  }

  /** Shows a text of the chat itself. */
  show(text: string): void {
    this.terminal.write(text);
  }

  override _write(chunk: string, _: BufferEncoding, done: () => void): void {
    if (this.isShown) this.terminal.write(chunk);
    done();
  }
}
