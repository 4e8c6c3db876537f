import {readFileSync} from 'node:fs';
import {expect} from 'chai';
import {csvRows} from '../../../src/llama/evaluation/csv_rows';
import {readJson} from '../../support/fixtures';

const path = new URL('../../fixtures/mmlu/algebra_in_small_test.csv', import.meta.url);

describe('csvRows', () => {
  it("has the rows of Python's csv.reader, and where they begin", () => {
    const {rows} = readJson<{rows: unknown}>('mmlu/algebra_in_small_test');
    expect([...csvRows('file', readFileSync(path, 'utf8'))]).to.deep.equal(rows);
  });

  it('knows all line breaks, and none', () => {
    for (const end of ['\n', '\r\n', '\r']) {
      const text = ['a,"b', 'c"', '', 'd,e', ''].join(end);
      expect([...csvRows('file', text)]).to.deep.equal([
        {line: 1, fields: ['a', `b${end}c`]},
        {line: 4, fields: ['d', 'e']},
      ]);
    }
    expect([...csvRows('file', 'a')]).to.deep.equal([{line: 1, fields: ['a']}]);
    expect([...csvRows('file', '')]).to.deep.equal([]);
  });

  it('gives the rows before a quote that is wrong, and its line', () => {
    for (const [text, message] of [
      ['a,b\nc,"d\n\ne,f\n', 'file: line 2: Quoted field unterminated'],
      ['a,b\n"c\nd","e" f\n', 'file: line 3: Trailing quote on quoted field is malformed'],
    ] as const) {
      const rows = csvRows('file', text);
      expect(rows.next().value).to.deep.equal({line: 1, fields: ['a', 'b']});
      expect(() => rows.next()).to.throw(message);
    }
  });
});
