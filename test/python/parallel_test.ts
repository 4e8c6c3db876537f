import {execFileSync, spawnSync} from 'node:child_process';
import {expect} from 'chai';

/** What a program of Python in this folder prints. */
function printed(program: string, hashSeed: number): unknown {
  const text = execFileSync('python3', [`test/python/${program}`, 'python'], {
    encoding: 'utf8',
    env: {...process.env, PYTHONHASHSEED: String(hashSeed)},
  });
  return JSON.parse(text);
}

// npx tsx scripts/check_torch.ts has several processes train with different seeds of hashes
describe('python/owlore/parallel.py', function () {
  before(function () {
    if (spawnSync('python3', ['--version']).status !== 0) this.skip();
  });

  it('gathers blocks in the order of the model, whatever the seed of hashes: all processes must do so in the same order', () => {
    const orders = [1, 2, 3, 4].map((seed) => printed('parallel.py', seed));
    const wanted = [0, 1, 3, 4, 5, 6, 7].map((block) => `layers.${block}`);
    expect(orders).to.deep.equal(orders.map(() => [...wanted, 'model']));
  });
});
