import {expect} from 'chai';
import {OnDemand} from '../../src/common/on_demand';
import {runProgram} from '../support/programs';

interface Seen {
  /** For each step: whether this library's kernels were there. */
  steps: boolean[];
  warnings: string[];
  error: string | null;
  /** Whether the weights are others than before. */
  moved: boolean;
}

async function run(...args: string[]): Promise<Seen> {
  const {stdout, stderr} = await runProgram('test/support/on_demand_program', args);
  expect(stdout, stderr).to.match(/^\{.*\}\n$/m);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Seen;
}

/*
 * What a page loads on demand: it is there before the first step of `fit` and after `ready()`; a step without it says so once,
 * or is an error, before anything has changed, if it cannot do without.
 */
describe('what is loaded on demand', function () {
  this.timeout(120_000);

  it('is there before the first step of fit, whatever its callbacks', async () => {
    expect(await run('fit')).to.eql({steps: [true, true], warnings: [], error: null, moved: true});
  });

  it('is there before the first step of fit with leanOptimizer, too', async () => {
    expect(await run('lean')).to.eql({steps: [true, true], warnings: [], error: null, moved: true});
  });

  it('is there after ready()', async () => {
    const steps = [true, true, true];
    expect(await run('ready')).to.eql({steps, warnings: [], error: null, moved: true});
  });

  it('is missing in a loop that does not wait, which says so once', async () => {
    const {steps, warnings, error} = await run('loop');
    expect(steps).to.eql([false, false, false]);
    expect(warnings).to.have.length(1);
    expect(warnings[0]).to.match(/without kernels for 'wasm', .*await optimizer\.ready\(\)/);
    expect(error).to.equal(null);
  });

  it('is done without, which is said once, where it cannot be loaded', async () => {
    const {steps, warnings, error, moved} = await run('offline');
    expect({steps, error, moved}).to.eql({steps: [false, false], error: null, moved: true});
    expect(warnings).to.have.length(1);
    expect(warnings[0]).to.match(/kernels for the backend 'wasm' could be installed; .*: offline/);
  });

  it("basis 'svd' is an error without it, before anything has changed", async () => {
    const {error, moved} = await run('loop', 'svd');
    expect(error).to.match(/basis 'svd'.*await optimizer\.ready\(\)/);
    expect(moved).to.equal(false);
    for (const way of ['fit', 'ready']) {
      expect(await run(way, 'svd')).to.include({error: null, moved: true});
    }
  });

  it('is loaded once, and provided parts are not loaded', async () => {
    let calls = 0;
    const part = new OnDemand(() => Promise.resolve(++calls));
    expect([part.loaded, part.isLoading]).to.eql([undefined, false]);
    const both = [part.load(), part.load()];
    expect(part.isLoading).to.equal(true);
    expect(await Promise.all(both)).to.eql([1, 1]);
    expect([part.loaded, part.isLoading]).to.eql([1, false]);
    const provided = new OnDemand(() => Promise.resolve(++calls));
    provided.provide(7);
    expect([provided.loaded, await provided.load(), calls]).to.eql([7, 7, 1]);
  });

  it('fails each time if it cannot be loaded, and is not loading any more', async () => {
    const part = new OnDemand(() => Promise.reject(new Error('offline')));
    for (let i = 0; i < 2; i++) {
      const message = await part.load().catch((error: unknown) => (error as Error).message);
      expect([message, part.loaded, part.isLoading]).to.eql(['offline', undefined, false]);
    }
  });
});
