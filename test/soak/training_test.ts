import {expect} from 'chai';
import {backends, itAtLength, thorough} from '../support/backends';
import {runProgram} from '../support/programs';
import {differences, residentGrowth, type Sample} from './samples';

async function train(...args: string[]): Promise<Sample[]> {
  const {code, stdout, stderr} = await runProgram('test/soak/training', args, {
    node: ['--expose-gc'],
    env: {TF_CPP_MIN_LOG_LEVEL: '2'},
  });
  expect(code, stderr).to.equal(0);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Sample);
}

describe('a long training', function () {
  this.timeout(180_000);

  // `npx tsx scripts/soak.ts` makes 20000 steps, and looks at resident memory, too. Hundreds take minutes on cpu and webgpu's software driver.
  for (const backend of backends.filter((name) => name === 'wasm' || name === 'tensorflow')) {
    for (const model of thorough ? ['llama', 'convolution'] : ['llama']) {
      itAtLength(`holds the same tensors after each period [${backend}, ${model}]`, async () => {
        const samples = await train(backend, '300', model, 'owlore');
        expect(samples.map(({step}) => step)).to.deep.equal([100, 200, 300]);
        // the first is of a process that has not warmed up
        expect(differences(samples.slice(1))).to.deep.equal([]);
      });
    }
  }

  it('does not pass if something grows', () => {
    const sample: Sample = {step: 100, tensors: 5, bytes: 80, data: 5, rss: 1e8};
    const series = (change: (i: number) => Partial<Sample>): Sample[] =>
      Array.from({length: 20}, (_, i) => ({...sample, step: 100 * (i + 1), ...change(i)}));
    expect(differences(series(() => ({})))).to.deep.equal([]);
    expect(differences(series((i) => (i > 2 ? {tensors: 6, bytes: 84} : {})))).to.deep.equal([
      'tensors: 5 after step 100, 6 after step 400, 6 at the end',
      'bytes: 80 after step 100, 84 after step 400, 84 at the end',
    ]);
    expect(differences(series((i) => ({data: 5 + i})))).to.deep.equal([
      'data: 5 after step 100, 6 after step 200, 24 at the end',
    ]);
    expect(() => differences(series(() => ({})).slice(-1))).to.throw('at least two samples');
    expect(residentGrowth(series((i) => ({rss: 1e8 + 2e5 * i})))).to.deep.equal([]);
    expect(residentGrowth(series((i) => ({rss: 1e8 + 5e5 * i})))).to.deep.equal([
      'resident memory: 101.0 MB at first, 108.5 MB at the end',
    ]);
    const control = series((i) => ({rss: 3e8 + 9e5 * i}));
    expect(
      residentGrowth(
        series((i) => ({rss: 1e8 + 5e5 * i})),
        control,
      ),
    ).to.deep.equal([]);
    expect(
      residentGrowth(
        series((i) => ({rss: 1e8 + 7e5 * i})),
        control,
      ),
    ).to.have.length(1);
    const shrinking = series((i) => ({rss: 3e8 - 9e5 * i}));
    expect(
      residentGrowth(
        series((i) => ({rss: 1e8 + 2e5 * i})),
        shrinking,
      ),
    ).to.deep.equal([]);
  });
});
