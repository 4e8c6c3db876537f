import {readFileSync} from 'node:fs';
import {expect} from 'chai';
import ts from 'typescript';
import {mutate} from '../../tools/mutate';
import {tapeMutants} from '../tape/mutants';

const source = `
export function first(x: number): number {
  // Twice as large, and one more.
  return scale(
    x,
    2,
  ) + 1;
}

class Counter {
  private count = 0;

  constructor(start: number) {
    this.count = start;
  }

  add(): void {
    this.count++;
  }

  run(): object {
    const {add} = this;
    return {
      add() {
        log('add');
        add();
      },
      stop() {
        log('add');
      },
    };
  }
}

function second(): void {
  log('add');
  if (-1 < 0) log(\`\${1} a\`);
}

const limits = [1, 2, 1];

if (limits.length > 1) {
  const same = 1;
} else {
  const same = 2;
}
`;

function change(place: string, from: string, to: string): string {
  return mutate(source, 'source.ts', place, {mechanism: 'm', from, to});
}

describe('mutate', () => {
  it('changes code in a function, however it is broken into lines, and nothing else', () => {
    const changed = change('first', 'scale(x, 2)', 'x');
    expect(changed).to.equal(source.replace('scale(\n    x,\n    2,\n  )', 'x'));
  });

  it('finds methods, constructors, constants, and functions inside of functions', () => {
    expect(change('Counter.add', 'this.count++;', '')).to.include('add(): void {\n    \n  }');
    const started = change('Counter.constructor', 'this.count = $value', 'this.count = 2 * $value');
    expect(started).to.include('this.count = 2 * start;');
    expect(change('limits', '2', '3')).to.include('[1, 3, 1]');
    const changed = change('Counter.run.stop', "log('add');", '');
    expect(changed.split("log('add')")).to.have.length(3);
    expect(changed).to.include('stop() {\n        \n      }');
  });

  it('lets $ names stand for code, the same one each time', () => {
    expect(change('first', 'scale($a, $b)', '$b * $a')).to.include('return 2 * x + 1');
    expect(() => change('first', 'scale($a, $a)', '$a')).to.throw('0 times');
  });

  it('tells operators and literals apart', () => {
    expect(change('second', '-1', '+1')).to.include('if (+1 < 0)');
    expect(() => change('second', '+1', '')).to.throw('0 times');
    expect(() => change('second', "log('sub')", '')).to.throw('0 times');
    expect(() => change('second', '`${1} b`', '')).to.throw('0 times');
  });

  it('names what it does not find, and what is there more than once', () => {
    expect(() => change('third', 'x', 'y')).to.throw(
      "mutant 'm': source.ts has 0 times, not once: third",
    );
    expect(() => change('Counter.run.remove', 'x', 'y')).to.throw('Counter.run.remove');
    expect(() => change('same', 'x', 'y')).to.throw('source.ts has 2 times, not once: same');
    expect(() => change('first', 'scale(x, 3)', '')).to.throw(
      "mutant 'm': source.ts has in first 0 times, not once: scale(x, 3)",
    );
    expect(() => change('limits', '1', '0')).to.throw('in limits 2 times');
  });

  it('finds the place of every mutant of the tape, and makes a program of it', () => {
    const mechanisms: string[] = [];
    for (const [file, places] of Object.entries(tapeMutants)) {
      const before = readFileSync(new URL(`../../src/${file}`, import.meta.url), 'utf8');
      for (const [place, mutants] of Object.entries(places)) {
        for (const mutant of mutants) {
          const after = mutate(before, file, place, mutant);
          expect(after, mutant.mechanism).to.not.equal(before);
          const {diagnostics} = ts.transpileModule(after, {reportDiagnostics: true});
          expect(diagnostics, mutant.mechanism).to.deep.equal([]);
          mechanisms.push(mutant.mechanism);
        }
      }
    }
    expect(new Set(mechanisms).size).to.equal(mechanisms.length);
  });
});
