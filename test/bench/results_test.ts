import {expect} from 'chai';
import {withGroup, type GroupRecord, type Results} from '../../bench/results';

function record(value: number): GroupRecord {
  return {
    ...{machine: 'm', node: 'v20', commit: `commit ${value}`, date: '2026-01-31', load: 0.04},
    figures: [{name: 'figure', value, unit: 'times'}],
    measured: {},
  };
}

const order = ['wasm', 'tensorflow', 'webgpu'];

describe('bench/results', () => {
  it('replaces the record of one group and keeps the others, each with its own commit', () => {
    let results: Results = {};
    results = withGroup(results, 'tensorflow', record(1), order);
    results = withGroup(results, 'wasm', record(2), order);
    results = withGroup(results, 'tensorflow', record(3), order);
    expect(results).to.deep.equal({wasm: record(2), tensorflow: record(3)});
    expect(Object.keys(results)).to.deep.equal(['wasm', 'tensorflow']);
  });

  it('drops a group that there is no longer', () => {
    expect(withGroup({gone: record(1)}, 'wasm', record(2), order)).to.have.keys('wasm');
  });
});
