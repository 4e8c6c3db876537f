import {readFileSync} from 'node:fs';
import {expect} from 'chai';
import {written} from '../../bench/results/figure';
import {readRecords} from '../../bench/results/store';
import {documentWith, markdownTable, verdict, withTable} from '../../bench/tables/document';
import {documents, lossAndMemory} from '../../bench/tables/documents';
import {sweepClaims, type SweepMeasurements} from '../../bench/tables/sweep_tables';

describe('bench/document', () => {
  it('puts a table in the place of its name, and leaves the rest of the document alone', () => {
    const text = 'a\n<!-- one -->\nold\n<!-- end -->\nb\n<!-- two -->\nkept\n<!-- end -->\n';
    const table = markdownTable(['x', 'y'], [['1', '2']]);
    expect(withTable(text, 'one', table)).to.equal(
      'a\n<!-- one -->\n\n| x | y |\n| --- | --- |\n| 1 | 2 |\n\n<!-- end -->\nb\n<!-- two -->\nkept\n<!-- end -->\n',
    );
  });

  it('gives the same document when a table is put in twice', () => {
    const text = '<!-- one -->\n<!-- end -->\n';
    const once = withTable(text, 'one', 't');
    expect(withTable(once, 'one', 't')).to.equal(once);
  });

  it('says which place is missing', () => {
    expect(() => withTable('<!-- one -->', 'one', 't')).to.throw("'<!-- one --> … <!-- end -->'");
    expect(() => withTable('', 'one', 't')).to.throw("'<!-- one --> … <!-- end -->'");
  });

  it('says whether a goal is reached; the bound itself is', () => {
    expect(verdict(3, {atMost: 3})).to.equal('≤ 3 ✓');
    expect(verdict(3.1, {atMost: 3})).to.equal('≤ 3 ✗');
    expect(verdict(10, {atLeast: 10})).to.equal('≥ 10 ✓');
    expect(verdict(NaN, {atLeast: 10})).to.equal('≥ 10 ✗');
    const share = (value: number): string => written(value, 'share');
    expect(verdict(0.06, {atMost: 0.05}, share)).to.equal('≤ 5 % ✗');
  });
});

describe('the tables of docs/', () => {
  it('claim of the sweep what its figures say', () => {
    for (const {figures, measured} of Object.values(readRecords<SweepMeasurements>('sweep'))) {
      expect(sweepClaims(measured)).to.deep.equal(figures);
    }
  });

  it('have a picture beside them that shows the results that are kept', () => {
    // Plot moves all of it by half a pixel where it finds a function `it`
    const unmoved = (svg: string): string => svg.replace(/ transform="translate\(.*?\)"/g, '');
    const kept = readFileSync(lossAndMemory.file, 'utf8');
    expect(unmoved(kept) === unmoved(lossAndMemory.draw()), 'npm run bench -- tables').to.equal(
      true,
    );
  });

  for (const [name, tables] of Object.entries(documents)) {
    it(`${name} has the results that are kept, and a place for each table`, async () => {
      const page = readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
      expect(await documentWith(name, tables())).to.equal(page);
      const places = [...page.matchAll(/^<!-- (?!end)(.*) -->$/gm)].map(([, place]) => place);
      expect(tables().map((table) => table.name)).to.have.members(places);
    });
  }
});
