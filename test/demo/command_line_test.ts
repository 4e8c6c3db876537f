import {expect} from 'chai';
import {readCommandLine, readPretrainingLine, settingsInUse} from '../../demo/command_line';

const limits = {blocks: 8, width: 128};

const readDemo = (args: readonly string[]): unknown => readCommandLine(args, limits);

/** What `args` print on stderr and the exit code, for those that end the process. */
function refused(args: string, read = readDemo): {stderr: string; code: number} {
  const {exit} = process;
  const {write} = process.stderr;
  let stderr = '';
  process.stderr.write = (text: string | Uint8Array) => ((stderr += String(text)), true);
  process.exit = (code) => {
    throw new Error(String(code));
  };
  try {
    read(args.split(' '));
  } catch (error) {
    return {stderr, code: Number((error as Error).message)};
  } finally {
    process.exit = exit;
    process.stderr.write = write;
  }
  throw new Error(`${args} was accepted`);
}

describe('demo: readCommandLine', () => {
  it('has a default for everything, the learning rate by the method', () => {
    const {report, ...settings} = readCommandLine([], limits);
    expect(report).to.match(/demo.report\.html$/);
    expect(settings).to.deep.equal({
      method: 'owlore',
      scores: 'ows',
      gamma: 4,
      rank: 32,
      tau: 'auto',
      interval: 25,
      refresh: 50,
      steps: 150,
      learningRate: 0.002,
      seed: 1,
      backend: 'wasm',
    });
    expect(readCommandLine(['--method', 'lisa'], limits).learningRate).to.equal(0.001);
  });

  it('reads every option', () => {
    const args =
      '--method owlore-full --scores ows --gamma 2.5 --tau 5 --interval 10 --steps 40 ' +
      '--learning-rate 1e-4 --seed 7 --backend cpu --report x.html';
    expect(readCommandLine(args.split(' '), limits)).to.include({
      method: 'owlore-full',
      gamma: 2.5,
      tau: 5,
      interval: 10,
      steps: 40,
      learningRate: 1e-4,
      seed: 7,
      backend: 'cpu',
      report: 'x.html',
    });
    const {rank, refresh} = readCommandLine('--rank 8 --refresh 20'.split(' '), limits);
    expect([rank, refresh]).to.deep.equal([8, 20]);
  });

  for (const [args, message] of [
    ['--gamma 9', /demo: --gamma must be a number > 0 and <= 8; got 9/],
    ['--gamma 0', /> 0 and <= 8; got 0/],
    ['--rank 3.5', /an integer >= 1 and <= 127; got 3\.5/],
    ['--rank 128', /<= 127/],
    ['--tau often', /--tau, if not 'auto', must be a number > 0; got 'often'/],
    ['--steps 0', />= 1/],
    ['--interval x', /an integer >= 1; got 'x'/],
    ['--refresh 0', />= 1/],
    ['--learning-rate -1', /> 0/],
    ['--seed -1', />= 0/],
    ['--method lora', /one of 'owlore', 'owlore-full', 'lisa', 'lisa-d', 'galore', 'full'; got/],
    ['--scores best', /one of 'ows', 'rm', 'bi', 'uniform'/],
    ['--backend gpu', /one of .*'wasm'/],
    ['--report no/such/folder/r.html', /no folder 'no\/such\/folder'/],
    ['--report demo', /demo: --report must be a file; 'demo' is a folder/],
    ['--gama 3', /unknown option '--gama'.*--gamma/],
    ['--steps', /argument missing/],
    ['more', /too many arguments/],
    ['--method full --gamma 2', /--gamma has no meaning with --method full/],
    ['--method lisa --rank 8', /--rank has no meaning with --method lisa/],
    ['--method lisa-d --scores ows', /--scores has no meaning with --method lisa-d/],
    ['--scores rm --tau 5', /--tau has no meaning with --scores rm/],
    ['--method full --learning-rate 1 --refresh 9', /--refresh has no meaning/],
  ] as const) {
    it(`refuses ${args} in one line and with exit code 2`, () => {
      const {stderr, code} = refused(args);
      expect(code).to.equal(2);
      expect(stderr)
        .to.match(/^error: .*\n$/)
        .and.match(message);
    });
  }

  it('names the settings that play a part', () => {
    const full = readCommandLine(['--method', 'full'], limits);
    expect(Object.keys(settingsInUse(full))).to.deep.equal([
      'method',
      'steps',
      'learning rate',
      'seed',
      'backend',
    ]);
  });
});

describe('demo: readPretrainingLine', () => {
  const read = (args: readonly string[]): unknown => readPretrainingLine(args, 100);

  it('has a default for everything', () => {
    expect(read([])).to.deep.equal({steps: 2500, backend: 'tensorflow'});
    expect(read(['--steps', '101', '--backend', 'wasm'])).to.include({steps: 101, backend: 'wasm'});
  });

  for (const [args, message] of [
    ['--steps abc', /pretrain: --steps must be an integer >= 101; got 'abc'/],
    ['--steps 50', />= 101; got 50/],
    ['--backend gpu', /one of .*'wasm'/],
  ] as const) {
    it(`refuses ${args} in one line and with exit code 2`, () => {
      const {stderr, code} = refused(args, read);
      expect(code).to.equal(2);
      expect(stderr)
        .to.match(/^error: .*\n$/)
        .and.match(message);
    });
  }
});
