import {expect} from 'chai';
import {
  decodeUtf8,
  isObject,
  jsonText,
  parseJsonObject,
  parseJsonText,
  show,
} from '../../src/files/json';

const parse = (text: string, maxValues?: number): object =>
  parseJsonObject('test', new TextEncoder().encode(text), maxValues);

describe('JSON of strangers', () => {
  it('is what JSON.parse gives', () => {
    for (const text of [
      '{}',
      ' {"a" : [1, "b", {"c": null}], "b": {"a": 1}, "c": {"a": "a"}}\n',
      // names again in other objects, and after them
      '{"a":{"b":1,"a":2},"b":[{"a":1},{"a":1}],"c":[],"d":1}',
      // what stands in texts is no bracket, no name and no end
      '{"a":"{[\\",:","b":"\\\\","c":["\\"","a","a"],"d:":"d","[":["{"]}',
    ])
      expect(parse(text)).to.deep.equal(JSON.parse(text));
  });

  it('may be 100 deep, and no more', () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    expect(parseJsonText('test', nested(100))).to.be.an('array');
    for (const text of [nested(101), '{"a":'.repeat(101), `{"a":${nested(100)}}`])
      expect(() => parseJsonText('test', text)).to.throw('test is nested more than 100 deep');
  });

  it('may have any number of values beside each other in objects and lists that are closed', () => {
    for (const part of ['[]', '{}', '["]"]', '{"a":"}"}', '["\\\\"]'])
      expect(parseJsonText('test', `[${Array(200).fill(part).join()}]`)).to.have.length(200);
  });

  it('may have so many values, and no more', () => {
    for (const text of ['{"a":[1,2,3]}', '{"a":",,,","b":2,"c":3}', '{"a":",\\",,","b":2,"c":3}']) {
      expect(parse(text, 3)).to.deep.equal(JSON.parse(text));
      expect(() => parse(text, 2)).to.throw(
        'test has more than 2 values; no file of its kind has so many',
      );
    }
  });

  it('has no name twice in an object, however it is written', () => {
    for (const text of [
      '{"a":1,"a":2}',
      '{"x":[{"a":{"b":1},"c":[],"a":2}]}',
      '{"a" :1,"\\u0061"\n:2}',
      '{"a"\t:{},"a"\r :{}}',
      '{"a":"a","b":{"a":1},"a":2}',
    ])
      expect(() => parse(text), text).to.throw('test has "a" twice');
  });

  it('is refused if it is none, or no object', () => {
    for (const text of ['', '{"a"', '{"a":"', '"', '"\\', '{]', '}'])
      expect(() => parse(text), text).to.throw(/^test is not JSON: /);
    for (const text of ['[]', 'null', '1', '"a"'])
      expect(() => parse(text), text).to.throw('test is not a JSON object');
  });

  it('is shown of its error no more than its beginning', () => {
    const {message} = errorOf(() => parse(`{"a": ${'b'.repeat(1000)}}`));
    expect(message.length).to.be.at.most('test is not JSON: …'.length + 120);
    const cause = errorOf(() => parse('{')).cause;
    expect(cause).to.be.instanceOf(SyntaxError);
  });

  it('must be UTF-8, of which a byte order mark is a part', () => {
    const {message, cause} = errorOf(() => decodeUtf8('test', Uint8Array.of(0x61, 0xff)));
    expect(message).to.equal('test is not UTF-8; save it as UTF-8');
    expect(cause).to.be.instanceOf(TypeError);
    expect(decodeUtf8('test', new TextEncoder().encode('\ufeffé'))).to.equal('\ufeffé');
  });
});

function errorOf(body: () => unknown): Error {
  try {
    body();
  } catch (error) {
    return error as Error;
  }
  throw new Error('expected an error');
}

describe('JSON for people', () => {
  it('is shown in a message up to 120 characters', () => {
    const text = (length: number): string => `"${'a'.repeat(length - 2)}"`;
    expect(show('a'.repeat(118))).to.equal(text(120));
    expect(show('a'.repeat(119))).to.equal(`${text(121).slice(0, 120)}…`);
    expect(show(undefined)).to.equal('nothing');
  });

  it('stands in files as transformers writes it', () => {
    expect(jsonText({a: [1]})).to.equal('{\n  "a": [\n    1\n  ]\n}\n');
  });
});

describe('isObject', () => {
  it('is true of objects, not of null, lists and other values', () => {
    expect([{}, {a: 1}].map(isObject)).to.deep.equal([true, true]);
    expect([null, [], 'a', 1, undefined].some(isObject)).to.equal(false);
  });
});
