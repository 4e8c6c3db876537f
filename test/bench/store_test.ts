import {expect} from 'chai';
import {
  provenance,
  readRecords,
  withRecord,
  type Records,
  type ResultRecord,
} from '../../bench/results/store';

function record(value: number): ResultRecord {
  return {
    ...{machine: 'm', node: 'v20', commit: `commit ${value}`, date: '2026-01-31', load: 0.04},
    figures: [{name: 'figure', value, unit: 'times'}],
    measured: {},
  };
}

const order = ['wasm', 'tensorflow', 'webgpu'];
const benchmarks = [
  ...(['performance', 'large_checkpoint', 'memory', 'sweep', 'timeline', 'defaults'] as const),
  ...(['step_times', 'checkpoints', 'compare_times'] as const),
];

describe('bench/store', () => {
  it('replaces the record of one part and keeps the others, each with its own commit', () => {
    let records: Records = {};
    records = withRecord(records, 'tensorflow', record(1), order);
    records = withRecord(records, 'wasm', record(2), order);
    records = withRecord(records, 'tensorflow', record(3), order);
    expect(records).to.deep.equal({wasm: record(2), tensorflow: record(3)});
    expect(Object.keys(records)).to.deep.equal(['wasm', 'tensorflow']);
  });

  it('drops a part that there is no longer', () => {
    expect(withRecord({gone: record(1)}, 'wasm', record(2), order)).to.have.keys('wasm');
  });

  it('has records of one format, of all benchmarks', () => {
    for (const benchmark of benchmarks) {
      const records = Object.entries(readRecords(benchmark));
      expect(records, benchmark).to.not.have.length(0);
      for (const [part, {machine, node, commit, date, load, measured}] of records) {
        const about = `${benchmark}: ${part}`;
        for (const text of [machine, node, commit]) expect(text, about).to.be.a('string');
        expect(date, about).to.match(/^\d{4}-\d\d-\d\d$/);
        if (load !== null) expect(load, about).to.be.a('number');
        expect(measured, about).to.be.an('object');
      }
    }
  });

  it('says where, when and of what something is measured', () => {
    const {machine, node, commit, date, load} = provenance();
    expect(machine).to.match(/^\d+ × .+, \d+ GiB$/);
    expect(node).to.equal(process.version);
    expect(commit).to.match(/^[0-9a-f]{12}( \+ changes)?$/);
    expect(date).to.equal(new Date().toISOString().slice(0, 10));
    expect(load).to.be.a('number');
  });
});
