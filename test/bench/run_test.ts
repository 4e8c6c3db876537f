import {expect} from 'chai';
import type {ContenderOptions} from '../../bench/harness/contender';
import {runInterleaved} from '../../bench/harness/run';

const ready = {kind: 'ready', parameters: 7, versions: {none: '1'}};

/** A contender whose losses count down from 9; `onStep` is a statement at each step. */
function contender(title: string, onStep = '', first: object = ready): ContenderOptions {
  const program = `
    const reply = (line) => console.log(JSON.stringify(line));
    let loss = 10;
    reply(${JSON.stringify(first)});
    require('node:readline').createInterface({input: process.stdin}).on('line', (line) => {
      if (JSON.parse(line) === 'memory') return reply({kind: 'memory', tensors: 5});
      loss--;
      ${onStep}
      reply({kind: 'step', loss, milliseconds: 10 * loss});
    });`;
  const args = ['--input-type=commonjs', '--eval', program];
  return {title, command: process.execPath, args, warmUp: 1, steps: 2};
}

describe('bench/run', () => {
  let complaints: string[];
  const {error} = console;

  beforeEach(() => {
    complaints = [];
    console.error = (line: string) => void complaints.push(line);
  });

  afterEach(() => {
    console.error = error;
  });

  it('gives each contender its steps, and takes no time of the warm-up', async () => {
    const {measured, missing} = await runInterleaved(
      {a: contender('A'), b: {...contender('B'), steps: 1}},
      2,
    );
    expect(missing).to.deep.equal([]);
    const {a, b} = measured;
    expect(a!.losses).to.deep.equal([9, 8, 7, 6, 5]);
    expect(a!.times).to.deep.equal([80, 70, 60, 50]);
    expect(a!.milliseconds).to.equal(70);
    expect(b!.losses).to.deep.equal([9, 8, 7]);
    expect(a).to.include({title: 'A', parameters: 7});
    expect(a!.memory).to.include({wasm: undefined, tensors: 5});
  });

  it('goes on without one that fails, and shows what it said', async () => {
    const failing = contender('B', "if (loss === 7) throw new Error('out of luck');");
    const {measured, missing} = await runInterleaved({b: failing, a: contender('A')}, 2);
    expect(Object.keys(measured)).to.deep.equal(['a']);
    expect(measured.a!.times).to.have.length(4);
    expect(missing).to.have.length(1);
    expect(missing[0]).to.match(/^failed: B: it ended\n[^]*out of luck/);
    expect(complaints).to.deep.equal(missing);
  });

  it('says what is missing for one that cannot run here', async () => {
    const absent = contender('B', '', {kind: 'absent', needs: 'a snake'});
    const unknown = {...contender('C'), command: 'no-such-program'};
    const {measured, missing} = await runInterleaved({b: absent, c: unknown}, 1);
    expect(measured).to.deep.equal({});
    expect(missing).to.deep.equal(['B: needs a snake', 'C: needs the command no-such-program']);
    expect(complaints).to.deep.equal([]);
  });

  it('tells how many processors were busy, where the system does', async function () {
    if (process.platform !== 'linux') this.skip();
    const busy = contender('A', 'const end = Date.now() + 100; while (Date.now() < end);');
    const {measured} = await runInterleaved({a: {...busy, warmUp: 0}, b: contender('B')}, 2);
    expect(measured.a!.processors).to.be.a('number').and.above(0);
    expect(measured.a!.memory.resident).to.be.above(1e7);
  });
});
