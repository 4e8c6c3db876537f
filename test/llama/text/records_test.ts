import {expect} from 'chai';
import fc from 'fast-check';
import {parseRecord, readRecords} from '../../../src/llama/text/records';
import {rejection} from '../../support/rejection';
import {inChunks} from './chunks';

/** The records of a file, as `[line, text]`. */
async function recordsOf(text: string, chunk = 7): Promise<Array<[number, string]>> {
  const records: Array<[number, string]> = [];
  for await (const {line, bytes} of readRecords('test', inChunks(text, chunk))) {
    records.push([line, new TextDecoder().decode(bytes)]);
  }
  return records;
}

describe('readRecords', () => {
  it('gives lines, past blank ones, carriage returns and a byte order mark', async () => {
    const text = '\ufeff\r\n{"a": 1}\r\n\r\n  \n {"b": "é"} \n{"c": 3}';
    for (const chunk of [1, 2, 5, 1000]) {
      expect(await recordsOf(text, chunk)).to.deep.equal([
        [2, '{"a": 1}'],
        [5, '{"b": "é"}'],
        [6, '{"c": 3}'],
      ]);
    }
  });

  it('gives the elements of an array with the lines in which they begin', async () => {
    const text = '\n[\n  {"a": "], \\"}, é"},\n\n  {\n    "b": [1, {"c": 2}]\n  }, 3\n]\n\n';
    for (const chunk of [1, 2, 5, 1000]) {
      expect(await recordsOf(text, chunk)).to.deep.equal([
        [3, '{"a": "], \\"}, é"}'],
        [5, '{\n    "b": [1, {"c": 2}]\n  }'],
        [7, '3'],
      ]);
    }
  });

  it('gives nothing of an empty array, and refuses an empty file', async () => {
    for (const text of ['[]', ' [ \n ] ']) {
      expect(await recordsOf(text), JSON.stringify(text)).to.deep.equal([]);
    }
    for (const text of ['', '\ufeff', ' \n\r\n'])
      expect((await rejection(recordsOf(text))).message).to.equal('test is empty');
  });

  it('gives what stands between two commas even if that is nothing', async () => {
    expect(await recordsOf('[1,\n,2,\n]')).to.deep.equal([
      [1, '1'],
      [2, ''],
      [2, '2'],
      [3, ''],
    ]);
  });

  it('reads any JSON as it was written, whatever its chunks', async () => {
    const values = fc.array(fc.jsonValue({maxDepth: 3, stringUnit: 'binary'}), {maxLength: 6});
    await fc.assert(
      fc.asyncProperty(
        values,
        fc.integer({min: 1, max: 20}),
        fc.nat(2),
        async (all, chunk, indent) => {
          const parse = async (text: string) =>
            (await recordsOf(text, chunk)).map(([, record]) => JSON.parse(record) as unknown);
          const expected = JSON.parse(JSON.stringify(all)) as unknown;
          expect(await parse(JSON.stringify(all, null, indent))).to.deep.equal(expected);
          // a first line that is an array would be a file that is one
          const lines = all.map((text) => `${JSON.stringify({text})}\n`).join('');
          const wrapped = (expected as unknown[]).map((text) => ({text}));
          if (all.length > 0) expect(await parse(lines)).to.deep.equal(wrapped);
        },
      ),
    );
  });

  it('says where an array goes wrong', async () => {
    const messageOf = async (text: string) => (await rejection(recordsOf(text))).message;
    expect(await messageOf('\n[1,\n2\n')).to.equal(
      'test: line 4: the file ends within the array that begins in line 2',
    );
    expect(await messageOf('[1]\n{}')).to.equal(
      'test: line 2: something follows the array that begins in line 1',
    );
  });

  it('does not take in a file that is one endless line', async () => {
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield new TextEncoder().encode('{}\n');
      const chunk = new Uint8Array(2 ** 24).fill(0x61);
      for (;;) yield chunk;
    }
    const reading = async () => {
      for await (const record of readRecords('test', endless())) expect(record.line).to.equal(1);
    };
    expect((await rejection(reading())).message).to.match(
      /^test: line 2: an example is longer than 67108864 bytes/,
    );
  });
});

describe('parseRecord', () => {
  const messageOf = (text: string): string => {
    try {
      parseRecord({line: 1, bytes: new TextEncoder().encode(text)});
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error('it was taken');
  };

  it('says that a record is no JSON and why, in the words of each engine without what stands around them', () => {
    const {parse} = JSON;
    try {
      for (const [before, why, after] of [
        // V8
        [
          '',
          "Expected ',' or '}' after property value",
          ' in JSON at position 13 (line 1 column 14)',
        ],
        ['', "Expected property name or '}'", ' in JSON at position 1'],
        ['', 'Unexpected non-whitespace character after JSON', ' at position 3'],
        ['', 'Unexpected end of JSON input', ''],
        ['', `Unexpected token 'x', "{"a": x}" is not valid JSON`, ''],
        // SpiderMonkey
        ['JSON.parse: ', 'unexpected character', ' at line 1 column 2 of the JSON data'],
        [
          'JSON.parse: ',
          "expected ',' or '}' after property value in object",
          ' at line 1 column 14 of the JSON data',
        ],
        // JavaScriptCore
        ['JSON Parse error: ', 'Unexpected identifier "x"', ''],
        ['JSON Parse error: ', "Expected '}'", ''],
      ] as const) {
        JSON.parse = () => {
          throw new SyntaxError(before + why + after);
        };
        expect(messageOf('{"a": x}')).to.equal(`it is not JSON: ${why}`);
      }
    } finally {
      JSON.parse = parse;
    }
  });

  it('says what else is wrong with a record', () => {
    expect(messageOf(`{"a": "b" "JSON.parse: "}`)).to.match(/^it is not JSON: \w.*\w$/);
    expect(messageOf('['.repeat(101))).to.equal('it is nested more than 100 deep');
  });
});
