import {expect} from 'chai';
import type {ResultRecord} from '../../bench/results/store';
import {performanceTables} from '../../bench/tables/performance_tables';

function record(value: number, measured: object = {}): ResultRecord {
  return {
    ...{machine: 'm', node: 'v20', commit: `commit ${value}`, date: '2026-01-31', load: 0.04},
    figures: [{name: `figure ${value}`, value, unit: 'times', goal: {atMost: 2}}],
    measured,
  };
}

describe('bench/performance_tables', () => {
  const step = {
    ...{title: 'stock', parameters: 1, versions: {}, losses: [], times: []},
    ...{milliseconds: 1000, processors: 1.04, processorsWaiting: 0},
    memory: {resident: 2e9, wasm: undefined, tensors: 5e7},
  };
  const steps = {
    stock: step,
    ours: {...step, title: 'ours', milliseconds: 250, processors: null},
  };
  const tables = performanceTables({
    wasm: record(1, {rounds: 3, steps}),
    webgpu: record(3, {
      ...{adapter: 'software', rounds: 3},
      kernels: {update: {dispatches: {composed: 23, kernels: 4}, milliseconds: {}, part: 0.5}},
    }),
  });

  it('lists the figures of all groups with their goals', () => {
    const {rows} = tables.find(({name}) => name === 'figures')!;
    expect(rows).to.deep.equal([
      ['figure 1', '1 ×', '≤ 2 × ✓'],
      ['figure 3', '3 ×', '≤ 2 × ✗'],
    ]);
  });

  it('says of each group where and of what it is', () => {
    const {rows} = tables.find(({name}) => name === 'runs')!;
    expect(rows[0]).to.deep.equal(['wasm', 'm', 'v20', 'commit 1', '2026-01-31', '0.0']);
    expect(rows).to.have.length(2);
  });

  it('compares steps with the first contender, where there are steps', () => {
    const {rows} = tables.find(({name}) => name === 'wasm steps')!;
    expect(rows).to.deep.equal([
      ['stock', '1000', '1.000', '1.0', '2000', '', '50.0'],
      ['ours', '250', '0.250', '', '2000', '', '50.0'],
    ]);
  });

  it('counts dispatches, where there are kernels', () => {
    const {rows} = tables.find(({name}) => name === 'webgpu kernels')!;
    expect(rows).to.deep.equal([['update', '23', '4', '0.50']]);
  });

  it('begins with the ops that shared memory makes slowest', () => {
    const copies = {add: {own: 2, shared: 2}, fill: {own: 0.5, shared: 2}};
    const [, , table] = performanceTables({copies: record(4, {rounds: 3, copies})});
    expect(table!.rows).to.deep.equal([
      ['fill', '0.5000', '2.0000', '4.00'],
      ['add', '2.0000', '2.0000', '1.00'],
    ]);
  });
});
