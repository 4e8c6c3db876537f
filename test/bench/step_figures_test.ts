import {expect} from 'chai';
import type {InterleavedRun, Measured} from '../../bench/harness/run';
import {
  checkLosses,
  checkStart,
  compare,
  fasterOf,
  LOSS_TOLERANCE,
  together,
} from '../../bench/groups/step_figures';

function measured(milliseconds: number, losses: number[] = []): Measured {
  return {
    ...{title: `${milliseconds} ms`, parameters: 1, versions: {}, times: [], losses},
    ...{milliseconds, processors: 1, processorsWaiting: 0},
    memory: {resident: 10 * milliseconds, wasm: undefined, tensors: undefined},
  };
}

describe('bench/step_figures', () => {
  const run: InterleavedRun<'stock' | 'ours' | 'other'> = {
    measured: {stock: measured(200), ours: measured(20)},
    missing: ['other: needs something'],
  };

  it('gives ratios of times, or of what is asked for, with their goals', () => {
    const {figures} = compare(run, 3, [
      {name: 'speed', above: 'stock', below: 'ours', goal: {atLeast: 10}},
      {name: 'memory', above: 'ours', below: 'stock', of: ({memory}) => memory.resident!},
    ]);
    expect(figures).to.deep.equal([
      {name: 'speed', value: 10, unit: 'times', goal: {atLeast: 10}},
      {name: 'memory', value: 0.1, unit: 'times'},
    ]);
  });

  it('leaves out what has not been measured, and says so', () => {
    const {figures, skipped} = compare(run, 3, [
      {name: 'absent', above: 'stock', below: 'other'},
      {name: 'untold', above: 'ours', below: 'stock', of: ({memory}) => memory.wasm ?? NaN},
    ]);
    expect(figures).to.deep.equal([]);
    expect(skipped).to.deep.equal(['other: needs something']);
  });

  it('compares with the faster one of two settings', () => {
    expect(fasterOf(run, 'stock', 'ours')).to.equal('ours');
    expect(fasterOf(run, 'ours', 'stock')).to.equal('ours');
    expect(fasterOf(run, 'stock', 'other')).to.equal('stock');
  });

  it('lets no losses differ between trainings that do the same', () => {
    const near = 6 * (1 + LOSS_TOLERANCE / 2);
    const same = {stock: measured(1, [6, 5]), ours: measured(2, [near, 5, 4])};
    checkLosses({measured: same, missing: []}, ['stock', 'ours', 'other']);
    const off = {stock: measured(1, [6, 5]), ours: measured(2, [6, 5.01])};
    expect(() => checkLosses({measured: off, missing: []}, ['stock', 'ours'])).to.throw(
      "at step 1 the loss is 5.01 in '2 ms', 5 in '1 ms'",
    );
  });

  it('lets all start at the same loss, with as many weights', () => {
    const start = {stock: measured(1, [6, 5]), ours: measured(2, [6, 4])};
    checkStart({measured: start, missing: []});
    const off = {...start, other: measured(3, [6.1])};
    expect(() => checkStart({measured: off, missing: []})).to.throw("6.1 in '3 ms', 6 in '1 ms'");
    const larger = {...start, other: {...measured(3, [6]), parameters: 2}};
    expect(() => checkStart({measured: larger, missing: []})).to.throw("'3 ms' has 2 weights");
  });

  it('puts the results of several runs together', () => {
    const other: InterleavedRun<'more'> = {measured: {more: measured(5)}, missing: []};
    const of = (name: 'stock' | 'ours') => ({name, above: name, below: name});
    const {
      figures,
      measured: all,
      skipped,
    } = together(
      3,
      compare(run, 3, [of('stock')]),
      compare(other, 3, [{name: 'more', above: 'more', below: 'more'}]),
    );
    expect(figures.map(({name}) => name)).to.deep.equal(['stock', 'more']);
    expect(all).to.have.property('rounds', 3);
    expect(all).to.have.property('steps').that.has.all.keys('stock', 'ours', 'more');
    expect(skipped).to.deep.equal(['other: needs something']);
  });
});
