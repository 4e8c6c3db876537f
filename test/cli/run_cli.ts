import {PassThrough, Readable, Writable} from 'node:stream';
import {loadBackend} from '../../tools/load_backend';
import type {OutputStream} from '../../src/cli/style';
import {Interruption} from '../../src/cli/interruption';
import {runProgram} from '../../src/cli/program';

/** What a run of the command line left behind. */
export interface CliRun {
  code: number;
  stdout: string;
  stderr: string;
}

/** A stream that keeps what is written to it. */
export class TextSink extends Writable {
  text = '';

  override _write(chunk: Buffer | string, _: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

/** Such a stream that says it is a terminal. */
export function terminal(columns = 100): TextSink & OutputStream {
  return Object.assign(new TextSink(), {isTTY: true, columns, hasColors: () => true});
}

/** Somebody at a terminal, who types an answer at each question. */
export function typist(answers: readonly string[]): {
  stdin: PassThrough & {isTTY: boolean};
  stderr: ReturnType<typeof terminal>;
} {
  const stdin = Object.assign(new PassThrough(), {isTTY: true});
  const stderr = terminal();
  const write = stderr._write.bind(stderr);
  const left = [...answers];
  stderr._write = (...written) => {
    write(...written);
    if (String(written[0]).endsWith('> '))
      setImmediate(() => stdin.write(left.shift() ?? '\u0004'));
  };
  return {stdin, stderr};
}

/**
 * Runs `tfjs-owlore` in this process.
 *
 * @param stdin What comes by stdin; null: a terminal.
 * @param stopAt On stderr, the text at which Ctrl-C comes, or `then` is called.
 */
export async function runCli(
  args: readonly string[],
  stdin: string | Uint8Array | null = null,
  stopAt?: string,
  then?: () => void,
): Promise<CliRun> {
  const [stdout, stderr, interruption] = [new TextSink(), new TextSink(), new Interruption()];
  if (stopAt !== undefined) {
    let isThere = false;
    const write = stderr._write.bind(stderr);
    stderr._write = (...written) => {
      write(...written);
      if (isThere || !stderr.text.includes(stopAt)) return;
      isThere = true;
      if (then) then();
      else interruption.receive('SIGINT');
    };
  }
  const code = await runProgram(args, {
    stdin: Object.assign(Readable.from(stdin === null ? [] : [stdin]), {isTTY: stdin === null}),
    stdout,
    ...{stderr, interruption, loadBackend},
  });
  return {code, stdout: stdout.text, stderr: stderr.text};
}
