import {expect} from 'chai';
import {CommandConsole} from '../../src/cli/console';
import {countMegabytes, describeTime, startProgress} from '../../src/cli/progress';
import {terminal, TextSink} from './run_cli';

/** Runs `body` at a time that it moves on. */
function withClock(body: (clock: {seconds: number}) => void): void {
  const clock = {seconds: 100};
  const {now} = performance;
  performance.now = () => 1000 * clock.seconds;
  try {
    body(clock);
  } finally {
    performance.now = now;
  }
}

/** Commands to a terminal, and characters. */
// eslint-disable-next-line no-control-regex
const TERMINAL_OUTPUT = /\u001B\[\??(\d*)([a-zA-Z])|\u001B[78]|./gsu;

/** What a terminal shows after all: it moves to a column, clears a line or the rest of it, and writes over what is there. */
function shown(text: string): string {
  const lines: string[][] = [[]];
  let column = 0;
  for (const [piece, count, command] of text.matchAll(TERMINAL_OUTPUT)) {
    const line = lines.at(-1)!;
    if (piece === '\n') {
      lines.push([]);
      column = 0;
    } else if (command === 'G') column = Number(count) - 1;
    else if (command === 'K') line.splice(count === '2' ? 0 : column);
    else if (!piece.startsWith('\u001B')) line[column++] = piece;
  }
  return lines.map((line) => Array.from(line, (char) => char ?? ' ').join('')).join('\n');
}

describe('startProgress', () => {
  it('without a terminal writes a line after a second and then each five seconds, with the time left', () => {
    const stream = new TextSink();
    withClock((clock) => {
      const progress = startProgress(stream, {label: 'asking', total: 98});
      for (let done = 1; done <= 98; done++) {
        clock.seconds += 0.5;
        progress.update(done, 'so far');
      }
      progress.end();
    });
    expect(stream.text.split('\n')).to.deep.equal([
      ...[2, 12, 22, 32, 42, 52, 62, 72, 82, 92].map((done) => {
        return `asking  ${done}/98  so far  ${(98 - done) / 2}s left`;
      }),
      'asking  98/98  so far  0s left',
      '',
    ]);
  });

  it('tells the time left by what is new, where a part was done before', () => {
    const stream = new TextSink();
    withClock((clock) => {
      const progress = startProgress(stream, {label: 'downloading', total: 100, done: 90});
      progress.update(90);
      clock.seconds += 10;
      progress.update(95);
    });
    expect(stream.text).to.equal('downloading  95/100  10s left\n');
  });

  it('without a terminal says nothing of what is soon done', () => {
    const stream = new TextSink();
    withClock((clock) => {
      const progress = startProgress(stream, {label: 'loading', total: 2});
      progress.update(1);
      clock.seconds += 4;
      progress.update(2);
      progress.end();
    });
    expect(stream.text).to.equal('');
  });

  it('in a terminal shows a bar, and takes it away', () => {
    const stream = terminal();
    const progress = startProgress(stream, {label: 'loading', total: 4e6, count: countMegabytes});
    progress.update(1e6, 'weights');
    expect(stream.text).to.include('loading  ░░░░░░░░░░░░░░░░ 0.0/4.0 MB');
    progress.line('a note');
    progress.end();
    expect(stream.text).to.include('loading  ████░░░░░░░░░░░░ 1.0/4.0 MB  weights');
    expect(shown(stream.text)).to.equal('a note\n');
  });
});

describe('CommandConsole', () => {
  it('breaks notes between words in a terminal, and nowhere else', () => {
    const note =
      'the backend is passed over, it does not work: a_word_that_is_longer_than_the_line_is';
    for (const [stderr, expected] of [
      [
        terminal(40),
        'the backend is passed over, it does not\nwork:\na_word_that_is_longer_than_the_line_is\n',
      ],
      [new TextSink(), `${note}\n`],
    ] as const) {
      new CommandConsole(new TextSink(), stderr, false).note(note);
      expect(stderr.text).to.equal(expected);
    }
  });

  it('takes a terminal that does not know its width for one of 80 columns', () => {
    const words = 'word '.repeat(30).trim();
    const inLines = [16, 14].map((count) => 'word '.repeat(count).trim()).join('\n');
    for (const columns of [undefined, 0, 1, -1, NaN]) {
      const [stdout, stderr] = [terminal(columns ?? 0), terminal(columns ?? 0)];
      if (columns === undefined) for (const each of [stdout, stderr]) delete each.columns;
      const console = new CommandConsole(stdout, stderr, false);
      console.note(words);
      const text = console.startText();
      for (const word of words.split(/(?= )/)) text.write(word);
      text.end();
      expect([stdout.text, stderr.text], String(columns)).to.deep.equal(
        Array(2).fill(`${inLines}\n`),
      );
    }
  });

  it('keeps notes and progress out of stdout', () => {
    const [stdout, stderr] = [new TextSink(), terminal()];
    const console = new CommandConsole(stdout, stderr, false);
    const progress = console.progress({label: 'asking', total: 2});
    console.note('by the way');
    console.print('result');
    console.result({for: 'programs'});
    progress.end();
    console.note('the end');
    expect(stdout.text).to.equal('result\n');
    expect(shown(stderr.text)).to.equal('by the way\nthe end\n');
  });

  it('with --json has nothing on stdout but one object', () => {
    const [stdout, stderr] = [new TextSink(), new TextSink()];
    const console = new CommandConsole(stdout, stderr, true);
    console.print('for people');
    console.write('for people');
    console.note('a note');
    console.result({score: 1});
    expect(stdout.text).to.equal('{"score":1}\n');
    expect(stderr.text).to.equal('a note\n');
    expect(new CommandConsole(terminal(), stderr, true).isWatched).to.equal(false);
  });

  it('knows whether it is watched, and dims where it can', () => {
    const stderr = new TextSink();
    expect(new CommandConsole(new TextSink(), stderr, false).isWatched).to.equal(false);
    const watched = new CommandConsole(terminal(), stderr, false);
    expect(watched.isWatched).to.equal(true);
    const texts = [terminal(), new TextSink()].map((stdout) => {
      new CommandConsole(stdout, stderr, false).write('x', {isDim: true});
      return stdout.text;
    });
    expect(texts).to.deep.equal(['\u001B[2mx\u001B[22m', 'x']);
  });

  it('shows control characters of strangers, and does not obey them', () => {
    const [stdout, stderr] = [terminal(), new TextSink()];
    const console = new CommandConsole(stdout, stderr, false);
    const text = 'é\ta\r\n\u001b[2J\u009b1m\u202e\rb\u007f\u2028\u200f\n';
    const shown = 'é\ta\r\n\\u001b[2J\\u009b1m\\u202e\\u000db\\u007f\\u2028\\u200f\n';
    console.note(text);
    console.write(text);
    const inLine = shown
      .replace('\t', '\\u0009')
      .replace('\r\n', '\\u000d\\u000a')
      .replace('\n', '\\u000a');
    console.write('\u001b[2J', {isDim: true});
    expect(stderr.text).to.equal(`${inLine}\n`);
    expect(stdout.text).to.equal(`${shown}\u001B[2m\\u001b[2J\u001B[22m`);
    const json = new TextSink();
    new CommandConsole(json, stderr, true).result({[text]: [text]});
    expect(json.text).to.match(/^[ -~é]+\n$/);
    expect(JSON.parse(json.text)).to.deep.equal({[text]: [text]});
    for (const stream of [terminal(), new TextSink()]) {
      withClock((clock) => {
        const bar = new CommandConsole(stdout, stream, false);
        const progress = bar.progress({label: `loading ${text}`, total: 2});
        clock.seconds += 6;
        progress.update(1, `of ${text}`);
        progress.end();
      });
      expect(stream.text).to.include(`loading ${inLine}  `);
      expect(stream.text).to.include(`of ${inLine}  `);
    }
    // a result in a file or a pipe is as the model wrote it
    const file = new TextSink();
    new CommandConsole(file, stderr, false).write(text);
    expect(file.text).to.equal(text);
  });
});

it('describeTime', () => {
  expect([0, 0.2, 59, 60, 65, 3599, 3600, 9000, 360000].map(describeTime)).to.deep.equal([
    ...['0s', '1s', '59s', '1m00s', '1m05s', '59m59s', '1h00m', '2h30m', '100h00m'],
  ]);
});
