import {readFileSync} from 'node:fs';
import {expect} from 'chai';
import fc from 'fast-check';
import Papa from 'papaparse';
import {csvRows, fieldsOfRow, RowSplitter} from '../../../src/llama/text/csv_records';
import {readRecords} from '../../../src/llama/text/records';
import {NEWLINE} from '../../../src/llama/text/splitter';
import {readJson} from '../../support/fixtures';
import {fuzz} from '../../support/fuzz';
import {rejection} from '../../support/rejection';
import {inChunks} from './chunks';

const path = new URL('../../fixtures/mmlu/algebra_in_small_test.csv', import.meta.url);

interface Row {
  line: number;
  fields: string[];
}

async function rowsOf(text: string, chunk = 7): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const {line, fields} of csvRows('file', inChunks(text, chunk))) {
    rows.push({line, fields: fields()});
  }
  return rows;
}

/** The records of a file with a header, each with its line, or what is wrong with it. */
async function recordsOf(text: string, chunk = 7): Promise<Array<[number, unknown]>> {
  const records: Array<[number, unknown]> = [];
  for await (const {line, bytes, fault} of readRecords('file', inChunks(text, chunk))) {
    records.push([line, fault ?? JSON.parse(new TextDecoder().decode(bytes))]);
  }
  return records;
}

describe('csvRows', () => {
  it("has the rows of Python's csv.reader, and where they begin", async () => {
    const {rows} = readJson<{rows: unknown}>('mmlu/algebra_in_small_test');
    for (const chunk of [1, 3, 1000]) {
      expect(await rowsOf(readFileSync(path, 'utf8'), chunk)).to.deep.equal(rows);
    }
  });

  it('has the fields that papaparse reads and writes, whatever its chunks', async () => {
    const field = fc.oneof(
      fc.string({unit: fc.constantFrom('a', 'é', '"', ',', '\n', '\r', ' ', '😀', ';', '\t')}),
      fc.string(),
    );
    const rows = fc.array(fc.array(field, {minLength: 2, maxLength: 4}), {maxLength: 6});
    await fc.assert(
      fc.asyncProperty(
        rows,
        fc.constantFrom('\n', '\r\n'),
        fc.integer({min: 1, max: 9}),
        async (all, newline, chunk) => {
          const text = Papa.unparse(all, {newline, quotes: false});
          const expected = Papa.parse<string[]>(text, {delimiter: ',', newline}).data;
          const isBlank = (fields: string[]): boolean => fields.join('').trim() === '';
          const rows = new RowSplitter('file', {delimiter: ',', newline: NEWLINE});
          const read: string[][] = [];
          const take = (some: Iterable<{bytes: Uint8Array}>): void => {
            for (const {bytes} of some)
              read.push(
                fieldsOfRow(new TextDecoder('utf-8', {ignoreBOM: true}).decode(bytes), ','),
              );
          };
          for await (const piece of inChunks(text, chunk)) take(rows.push(piece));
          take(rows.end());
          // a row of nothing but spaces may be one or none
          expect(read.filter((fields) => !isBlank(fields))).to.deep.equal(
            expected.filter((fields) => !isBlank(fields)),
          );
        },
      ),
      fuzz(300) as fc.Parameters<[string[][], '\n' | '\r\n', number]>,
    );
  });

  it('knows all line breaks, and none', async () => {
    for (const end of ['\n', '\r\n', '\r']) {
      const text = ['a,"b', 'c"', '', 'd,e', ''].join(end);
      expect(await rowsOf(text, 1000)).to.deep.equal([
        {line: 1, fields: ['a', `b${end}c`]},
        {line: 4, fields: ['d', 'e']},
      ]);
    }
    expect(await rowsOf('\ufeff"a",')).to.deep.equal([{line: 1, fields: ['a', '']}]);
    expect(await rowsOf('')).to.deep.equal([]);
  });

  it('gives the rows before a quote that is not closed, and its line', async () => {
    const rows = csvRows('file', inChunks('a,b\nc,"d\n\ne,f\n', 1000));
    const {value} = (await rows.next()) as {value: {fields(): string[]}};
    expect(value.fields()).to.deep.equal(['a', 'b']);
    expect((await rejection(rows.next())).message).to.equal(
      'file: line 2: a quote is opened and never closed',
    );
  });

  it('refuses what follows a quoted field', async () => {
    expect((await rejection(rowsOf('"c","e" f\n'))).message).to.equal(
      'a quote within a quoted field must be doubled',
    );
  });
});

describe('readRecords of a table', () => {
  it('names fields by the header, and begins a record in its line', async () => {
    const text = '\ufeffquestion,"answer",,note\r\n"how\r\nmany?",3,x,\r\n\r\n"a ""b""",4\r\n';
    for (const chunk of [1, 5, 1000]) {
      expect(await recordsOf(text, chunk)).to.deep.equal([
        [2, {question: 'how\r\nmany?', answer: '3', note: ''}],
        [5, {question: 'a "b"', answer: '4'}],
      ]);
    }
  });

  it('reads tabs and semicolons, and an index without a name as pandas writes it', async () => {
    const rows = [
      ['', 'question', 'answer'],
      ['0', 'a, b; c', 'd'],
    ];
    for (const delimiter of ['\t', ';']) {
      const text = Papa.unparse(rows, {delimiter});
      expect(await recordsOf(text), delimiter).to.deep.equal([
        [2, {question: 'a, b; c', answer: 'd'}],
      ]);
    }
  });

  it('says what is wrong with a row, and goes on with the next one', async () => {
    const text = 'question,answer\na,b,c\nd,"e"f\ng,h,,\ni\nj,k\n';
    const bytes = [...new TextEncoder().encode(text), 0xff, 0x2c, 0x0a];
    async function* chunks(): AsyncGenerator<Uint8Array> {
      yield Uint8Array.from(bytes);
    }
    const found: string[] = [];
    for await (const {line, bytes, fault} of readRecords('file', chunks())) {
      found.push(`${line} ${fault ?? new TextDecoder().decode(bytes)}`);
    }
    expect(found).to.deep.equal([
      '2 a row has more fields than the header, which has 2; should some be in quotes?',
      '3 a quote within a quoted field must be doubled',
      '4 {"question":"g","answer":"h"}',
      '5 {"question":"i"}',
      '6 {"question":"j","answer":"k"}',
      '7 it is not UTF-8; save it as UTF-8',
    ]);
  });

  it('refuses a header that has a name twice', async () => {
    expect((await rejection(recordsOf('question,answer,answer\na,b,c\n'))).message).to.equal(
      "file has two columns 'answer'; give one another name",
    );
  });

  it('ends at a quote that is never closed, without taking in the file', async () => {
    let given = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield new TextEncoder().encode('question,answer\n"a,b\n');
      const chunk = new Uint8Array(2 ** 20).fill(0x61);
      for (; ; given++) yield chunk;
    }
    const reading = async (): Promise<void> => {
      for await (const record of readRecords('file', endless())) expect(record).to.equal(null);
    };
    expect((await rejection(reading())).message).to.equal(
      'file: line 2: an example is longer than 67108864 bytes; is a quote not closed?',
    );
    expect(given).to.be.below(70);
  });

  it('reads wide tables in time', async () => {
    const columns = Array.from({length: 100_000}, (_, i) => `c${i}`);
    const row = columns.map((_, i) => String(i)).join(',');
    const start = performance.now();
    const text = `${['question', 'answer', ...columns.slice(0, 5000)].join(',')}\n${row.slice(0, 20_000)}\n`;
    const [[, fields]] = (await recordsOf(text, 2 ** 20)) as [[number, Record<string, string>]];
    expect(fields['question']).to.equal('0');
    // a header that does not end where a file is recognised is none
    const wide = await recordsOf(`${['question', ...columns].join(',')}\n${row}\n`, 2 ** 20);
    expect(wide).to.have.length(2);
    expect(performance.now() - start).to.be.below(20_000);
  });
});
