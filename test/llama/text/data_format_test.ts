import {gzipSync} from 'node:zlib';
import {expect} from 'chai';
import {HEAD_BYTES, recogniseData} from '../../../src/llama/text/data_format';
import type {FieldNames} from '../../../src/llama/text/formats';

const bytesOf = (content: string | Uint8Array): Uint8Array =>
  typeof content === 'string' ? new TextEncoder().encode(content) : content;

const formatOf = (content: string | Uint8Array, fields: FieldNames | null = null): string => {
  const found = recogniseData('file', bytesOf(content), fields);
  if (found.format === 'text') return `text by ${found.sampleBy}`;
  return 'columns' in found
    ? `${found.format} ${JSON.stringify(found.delimiter)} of ${found.columns.join('|')}`
    : found.format;
};

const messageOf = (content: string | Uint8Array): string => {
  try {
    return formatOf(content);
  } catch (error) {
    return (error as Error).message;
  }
};

describe('recogniseData', () => {
  it('takes no table without a header for a text', () => {
    const rows = bytesOf('What is 1 plus 1?,2\nWhat is 1 plus 2?,3\n');
    expect(recogniseData('rows', rows).format).to.equal('text');
    for (const name of ['rows.csv', 'ROWS.TSV'])
      expect(() => recogniseData(name, rows)).to.throw(`${name} has no header that names its`);
    expect(recogniseData('a.csv', bytesOf('frage,x\na,b'), {text: 'frage'}).format).to.equal('csv');
  });

  for (const [content, expected] of [
    ['{"text": "a"}\n', 'jsonl'],
    ['\ufeff\r\n {"a": 1}', 'jsonl'],
    ['{"messages": [{"role": "user", "content": "a"}]}', 'jsonl'],
    ['{"tools": [{"a": 1}], "text": "b"}\n{"text": "c"}', 'jsonl'],
    // one damaged line does not make another kind of file of it
    ['{"text": \n{"text": "a"}\n{"text": "b"}', 'jsonl'],
    ['# made by a script\n{"text": "a"}\n{"text": "b"}', 'jsonl'],
    ['', 'file is empty'],
    [' \n', 'file is empty'],
    ['[\n {"text": "a"}]', 'json'],
    ['[]', 'json'],
    ['[Verse 1]\nla la\n\n[Verse 2]\nla', 'text by paragraph'],
    ['question,answer\na,b\n', 'csv "," of question|answer'],
    ['question,answer\n', 'csv "," of question|answer'],
    ['"Question" , "Answer"\n', 'text by line'],
    ['Question, Answer\na,b', 'csv "," of Question|Answer'],
    ['prompt\tcompletion\nx\ty\n', 'tsv "\\t" of prompt|completion'],
    ['\tquestion\tanswer\n0\tx\ty\n', 'tsv "\\t" of |question|answer'],
    ['frage;antwort\r\na;b\r\n', 'csv ";" of frage|antwort'],
    ['frage,antwort\na,"b,\nc"\n', 'csv "," of frage|antwort'],
    ['text\n"a, b"\n', 'csv "," of text'],
    ['text,label\n"a, b",1\n', 'csv "," of text|label'],
    ['Call me Ishmael, he said.\nSome years ago, I went.\n', 'text by line'],
    ['One, two\nthree, four\n\nfive', 'text by paragraph'],
    ['a\r\rb', 'text by paragraph'],
    ['frage,antwort\na\n', 'text by line'],
    ['{name} is a placeholder', 'text by line'],
  ] as const) {
    it(`takes ${JSON.stringify(content)} for ${expected}`, () => {
      expect(messageOf(content)).to.equal(expected);
    });
  }

  it('knows a header by fields that are named', () => {
    expect(formatOf('frage,die Antwort!\na\n', {prompt: 'frage', answer: 'die Antwort!'})).to.equal(
      'csv "," of frage|die Antwort!',
    );
  });

  const latin = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));
  const json = JSON.stringify({data: [{question: 'a', answer: 'b'}]});
  for (const [name, content, pattern] of [
    ['Parquet', latin('PAR1\x15\x04'), /^file is a Parquet file; .*read_parquet.*lines=True/],
    ['Arrow', latin('ARROW1\0\0'), /^file is an Arrow file; .*read_feather/],
    ["datasets' Arrow", latin('\xff\xff\xff\xff\x10\0\0\0'), /an Arrow stream, .*from_file/],
    ['gzip', Uint8Array.from(gzipSync('{"text": "a"}')), /^file is compressed by gzip; .*gunzip$/],
    ['zstd', latin('\x28\xb5\x2f\xfd\x24'), /compressed by zstd/],
    [
      'a zip',
      latin('PK\x03\x04\x14\0\0\0\x08\0a.jsonl'),
      /^file is a zip archive; unpack it first$/,
    ],
    ['a spreadsheet', latin('PK\x03\x04\x14\0\x06\0[Content_Types].xml'), /; save it as csv$/],
    ['an old spreadsheet', latin('\xd0\xcf\x11\xe0\xa1\xb1'), /; save it as csv$/],
    ['PDF', latin('%PDF-1.7\n'), /^file is a PDF; /],
    ['SQLite', latin('SQLite format 3\0'), /^file is an SQLite database; .*-csv$/],
    ['UTF-16', latin('\xff\xfe{\0"\0'), /^file is a text in UTF-16; save it as UTF-8$/],
    [
      'UTF-16 without a mark',
      Uint8Array.from(Buffer.from('{"text": "a"}', 'utf16le')),
      /in UTF-16/,
    ],
    ['HTML', '\ufeff\n<!DOCTYPE html><html>', /^file is a page of HTML; /],
    ['XML', '<?xml version="1.0"?>', /^file is XML; /],
    [
      'safetensors',
      latin('\x40\x01\0\0\0\0\0\0{"__metadata__"'),
      /^file is a model in safetensors/,
    ],
    ['GGUF', latin('GGUF\x03\0\0\0'), /^file is a model in GGUF/],
    ['bytes', latin('ab\0cd\0\0ef'), /^file is no text: it has bytes that are 0$/],
    ['an object', json, /^file is one JSON object with a list under 'data'; .* jq '\.data' does$/],
    ['an object over lines', JSON.stringify(JSON.parse(json), null, 2), /a list under 'data'/],
    [
      'a long object',
      `{"a": {"b": {"c": 1}}, "data set": [{"text": "${'a'.repeat(HEAD_BYTES)}"}]}`,
      /a list under 'data set'; save that list alone, as jq '\.\["data set"\]' does$/,
    ],
    [
      'objects over lines',
      '{\n  "text": "a"\n}\n{\n  "text": "b"\n}',
      /^file is JSON over several lines; .* jq -c \. /,
    ],
    [
      'lines with commas',
      '{"text": "a"},\n{"text": "b"}\n',
      /^file is JSON with commas between its lines; /,
    ],
    ["Python's repr", "{'text': 'a'}\n", /^file is Python's repr and not JSON, .* json\.dumps$/],
  ] as const) {
    it(`calls ${name} what it is`, () => expect(messageOf(content)).to.match(pattern));
  }

  it('takes a long first line for one of jsonl, whatever lists it has beside its messages', () => {
    const line = `{"tools": [{"a": 1}], "messages": [{"content": "${'a'.repeat(HEAD_BYTES)}"}]}`;
    expect(formatOf(line)).to.equal('jsonl');
  });
});
