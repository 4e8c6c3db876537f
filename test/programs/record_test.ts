import {readFileSync} from 'node:fs';
import {expect} from 'chai';
import {programs} from './programs';
import {compatibilityTable, defaultMargins, readRecord} from './record';

/** The cells of a table in Markdown, however it is aligned. */
function cellsOf(table: string): string[][] {
  return table.split('\n').map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replace(/^-+$/, '---')),
  );
}

describe('docs/limits.md', () => {
  it('has the table of the recorded results', () => {
    const page = readFileSync(new URL('../../docs/limits.md', import.meta.url), 'utf8');
    const table = page.split('<!-- programs -->')[1]!.trim();
    expect(cellsOf(table)).to.deep.equal(cellsOf(compatibilityTable(readRecord())));
  });

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
