import {expect} from 'chai';
import {programs} from './programs';
import {defaultMargins, readRecord} from './record';

describe('test/programs/record.json', () => {
  it('has a result of every program on cpu and wasm, within its margins', () => {
    const record = readRecord();
    expect(Object.keys(record)).to.deep.equal(programs.map(({title}) => title));
    for (const {title, margins, noBlocks} of programs) {
      const results = record[title]!;
      expect(results, title).to.include.keys('cpu', 'wasm');
      const {optimizer, sampling} = {...defaultMargins, ...margins};
      for (const [backend, result] of Object.entries(results)) {
        const where = `${title} on ${backend}`;
        expect(result.optimizer, where).to.be.at.least(1 - optimizer);
        if (noBlocks !== undefined) expect(result.sampling, where).to.equal(null);
        else expect(result.sampling, where).to.be.at.least(1 - sampling);
      }
    }
  });
});
