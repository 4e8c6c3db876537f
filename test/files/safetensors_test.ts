import {readFileSync} from 'node:fs';
import {expect} from 'chai';
import fc from 'fast-check';
import type {FloatType} from '../../src/files/float_type';
import {parseSafetensors, serializeSafetensors} from '../../src/files/safetensors';
import {headerEnd} from '../../src/files/safetensors_header';
import {readTensors} from '../support/fixtures';

/** A file with this header and `dataLength` bytes of zeros. */
function file(header: unknown, dataLength = 0): Uint8Array {
  const json =
    header instanceof Buffer
      ? header
      : Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(dataLength)]);
}

describe('safetensors', () => {
  it('reads what another reader reads', () => {
    const path = new URL('../fixtures/llama/llama2/model.safetensors', import.meta.url);
    const {tensors, metadata} = parseSafetensors(readFileSync(path));
    const expected = readTensors('llama/llama2/model');
    expect([...tensors.keys()]).to.deep.equal([...expected.keys()]);
    for (const [name, {shape, values}] of expected) {
      expect(tensors.get(name)).to.deep.equal({shape, values});
    }
    expect(metadata).to.deep.equal({format: 'pt'});
  });

  it('reads back what it wrote, bit by bit', () =>
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.string().filter((s) => s !== '__metadata__'),
          fc.float32Array(),
        ),
        fc.dictionary(fc.string(), fc.string()),
        (arrays, metadata) => {
          const tensors = new Map(
            Object.entries(arrays).map(([name, values]) => [
              name,
              {shape: [values.length], values},
            ]),
          );
          const bytes = serializeSafetensors(tensors, {metadata});
          const read = parseSafetensors(bytes);
          expect(read.metadata).to.deep.equal({...metadata});
          expect([...read.tensors.keys()].sort()).to.deep.equal([...tensors.keys()].sort());
          for (const [name, {values}] of tensors) {
            expect(read.tensors.get(name)!.values).to.deep.equal(values);
          }
        },
      ),
    ));

  it('reads tensors without values, in whatever order the header has them', () => {
    const [empty, x] = [
      {dtype: 'F32', shape: [0, 3], data_offsets: [4, 4]},
      {dtype: 'F32', shape: [1], data_offsets: [4, 8]},
    ];
    const first = {dtype: 'F32', shape: [1], data_offsets: [0, 4]};
    for (const header of [
      {first, empty, x},
      {x, first, empty},
    ]) {
      const {tensors} = parseSafetensors(file(header, 8));
      expect([...tensors.keys()]).to.deep.equal(['first', 'empty', 'x']);
      expect(tensors.get('empty')).to.deep.equal({shape: [0, 3], values: new Float32Array(0)});
    }
  });

  it('keeps what its types can hold, and rounds the rest', () => {
    const values = Float32Array.of(1, -0.1, 70000, NaN, -Infinity);
    const tensors = new Map([['x', {shape: [5], values}]]);
    const read = (dtype: FloatType) => [
      ...parseSafetensors(serializeSafetensors(tensors, {dtype})).tensors.get('x')!.values,
    ];
    expect(read('F32')).to.deep.equal([...values]);
    expect(read('F16')).to.deep.equal([1, -0.0999755859375, Infinity, NaN, -Infinity]);
    expect(read('BF16')).to.deep.equal([1, -0.10009765625, 70144, NaN, -Infinity]);
  });

  it('starts the values at a multiple of 8 bytes', () => {
    for (const name of ['a', 'ab', 'abc', 'abcd']) {
      const bytes = serializeSafetensors(
        new Map([[name, {shape: [], values: Float32Array.of(1)}]]),
      );
      expect((bytes.length - 4) % 8).to.equal(0);
      const json = `{"${name}":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`;
      expect(bytes.length - 4 - 8 - json.length).to.be.within(0, 7);
    }
  });

  it('refuses to write a tensor whose values do not fit its shape', () => {
    const tensors = new Map([['x', {shape: [2, 2], values: new Float32Array(3)}]]);
    expect(() => serializeSafetensors(tensors)).to.throw(
      "safetensors: tensor 'x' has 3 values for shape [2, 2]",
    );
  });

  it('refuses a header of very many empty tensors, before it is parsed', () => {
    const entries = Array.from(
      {length: 110_000},
      (_, i) => `"${i}":{"dtype":"F32","shape":[],"data_offsets":[0,0]}`,
    );
    // of which the end is missing
    expect(() => parseSafetensors(file(`{${entries.join(',')}`))).to.throw(
      'safetensors: the header has more than 400000 values; no file of its kind has so many',
    );
  });

  const x = {dtype: 'F32', shape: [2], data_offsets: [0, 8]};
  const twice = JSON.stringify({x}).slice(0, -1);
  const damaged: Array<[string, Uint8Array, string]> = [
    ['no header', new Uint8Array(5), 'the file has 5 bytes, less than a header'],
    ['a header longer than the file', file({x}, 8).subarray(0, 20), 'but the file has 20 bytes'],
    [
      'a huge header',
      new Uint8Array(8).fill(255),
      'end at byte 18446744073709551623, but the file',
    ],
    ['no JSON', file('{"x": '), 'the header is not JSON'],
    ['no UTF-8', file(Buffer.from([0x7b, 0xff, 0x7d])), 'the header is not UTF-8'],
    ['a byte order mark', file('\ufeff{}'), 'the header is not JSON'],
    ['a list', file([]), 'the header is not a JSON object'],
    ['a deep list', file('['.repeat(1e5) + ']'.repeat(1e5)), 'the header is nested more'],
    ['a tensor twice', file(`${twice},"x":1}`, 8), 'the header has "x" twice'],
    ['a tensor twice, once in disguise', file(`${twice}, "\\u0078" : 1}`, 8), 'has "x" twice'],
    ['a shape twice', file('{"x":{"shape":[1],"shape":[2]}}'), 'the header has "shape" twice'],
    ['an entry that is no object', file({x: 1}), 'tensor "x" must have an object as its entry'],
    [
      'an unknown dtype',
      file({x: {...x, dtype: 'I8'}}, 8),
      'tensor "x" must have dtype F32, F16, BF16; got "I8"; convert the checkpoint',
    ],
    ['a dtype in a list', file({x: {...x, dtype: ['F32']}}, 8), 'must have dtype F32, F16, BF16'],
    ['an inherited name as dtype', file({x: {...x, dtype: 'toString'}}, 8), 'must have dtype'],
    [
      'a negative size',
      file({x: {...x, shape: [-2]}}, 8),
      'tensor "x" has no valid shape; got [-2]',
    ],
    [
      'a negative size beside another',
      file({x: {...x, shape: [1, -2]}}, 8),
      'tensor "x" has no valid shape; got [1,-2]',
    ],
    ['a size in words', file({x: {...x, shape: '2'}}, 8), 'tensor "x" has no valid shape; got "2"'],
    [
      'a deep shape',
      file(`{"x":{"dtype":"F32","shape":${'['.repeat(5e4)}${']'.repeat(5e4)}}}`),
      'the header is nested more than 100 deep',
    ],
    [
      'a shape beyond all numbers',
      file({x: {...x, shape: [...Array<number>(25).fill(2 ** 50), 0]}}, 8),
      'must have NaN bytes; got data_offsets [0,8], 8 bytes',
    ],
    ['no offsets', file({x: {...x, data_offsets: [0]}}, 8), 'has no valid data_offsets; got [0]'],
    [
      'too few bytes',
      file({x: {...x, shape: [3]}}, 8),
      'of shape [3] and dtype F32 must have 12 bytes; got data_offsets [0,8], 8 bytes',
    ],
    [
      'too few bytes, after others',
      file({x: {...x, shape: [3], data_offsets: [4, 12]}}, 12),
      'must have 12 bytes; got data_offsets [4,12], 8 bytes',
    ],
    ['data that is missing', file({x}, 7), 'the tensors need 8 bytes of data; the file has 7'],
    ['data of nobody', file({x}, 9), 'the tensors need 8 bytes of data; the file has 9'],
    ['an overlap', file({x, y: x}, 8), 'tensor "y" must start at byte 8 of the data'],
    [
      'a hole',
      file({x: {...x, data_offsets: [4, 12]}}, 12),
      'tensor "x" must start at byte 0 of the data, where the one before it ends; got 4',
    ],
    [
      'metadata that is no text',
      file({__metadata__: {a: 1}}),
      '__metadata__ must hold texts only; got {"a":1}',
    ],
  ];
  for (const [what, bytes, message] of damaged) {
    it(`refuses ${what}`, () => {
      const parse = () => parseSafetensors(bytes);
      expect(parse).to.throw(/^safetensors: /);
      expect(parse).to.throw(message);
    });
  }

  it('refuses a header above the limit of the format', () => {
    const start = new Uint8Array(8);
    new DataView(start.buffer).setBigUint64(0, 100_000_001n, true);
    expect(() => headerEnd('test', start, 1e9)).to.throw(
      'test: the header has 100000001 bytes; the format allows 100000000',
    );
    new DataView(start.buffer).setBigUint64(0, 100_000_000n, true);
    expect(headerEnd('test', start, 1e9)).to.equal(100_000_008);
  });

  describe('with any damage', () => {
    const valid = {
      __metadata__: {format: 'pt'},
      a: {dtype: 'F32', shape: [2, 3], data_offsets: [0, 24]},
      b: {dtype: 'BF16', shape: [4], data_offsets: [24, 32]},
      c: {dtype: 'F16', shape: [], data_offsets: [32, 34]},
    };
    /** Reads the file or refuses it with an error of this module, and nothing else. */
    function readOrRefuse(bytes: Uint8Array): void {
      try {
        const {tensors} = parseSafetensors(bytes);
        for (const {shape, values} of tensors.values()) {
          expect(values.length).to.equal(shape.reduce((a, b) => a * b, 1));
        }
      } catch (error) {
        expect(error).to.be.instanceOf(Error);
        expect((error as Error).message).to.match(/^safetensors: /);
      }
    }

    it('of its bytes', () =>
      fc.assert(
        fc.property(
          fc.array(fc.tuple(fc.nat(file(valid, 34).length - 1), fc.nat(255)), {maxLength: 6}),
          fc.nat(file(valid, 34).length + 10),
          fc.boolean(),
          (changes, length, cut) => {
            const bytes = Uint8Array.from(file(valid, 34));
            for (const [at, value] of changes) bytes[at] = value;
            readOrRefuse(cut ? bytes.subarray(0, length) : bytes);
          },
        ),
        {numRuns: 2000},
      ));

    it('of its header', () => {
      const name = fc.oneof(
        fc.constantFrom('a', 'b', 'c', '__proto__', '__metadata__'),
        fc.string(),
      );
      const count = fc.oneof(fc.nat(40), fc.integer(), fc.double(), fc.maxSafeNat());
      const entry = fc.oneof(
        fc.jsonValue(),
        fc.record(
          {
            dtype: fc.oneof(
              fc.constantFrom('F32', 'F16', 'BF16', 'F64', '__proto__'),
              fc.jsonValue(),
            ),
            shape: fc.oneof(fc.array(count, {maxLength: 4}), fc.jsonValue()),
            data_offsets: fc.oneof(fc.tuple(count, count), fc.jsonValue()),
          },
          {requiredKeys: []},
        ),
      );
      fc.assert(
        fc.property(fc.array(fc.tuple(name, entry), {maxLength: 4}), fc.nat(40), (parts, data) => {
          const header = parts.map(
            ([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`,
          );
          readOrRefuse(file(`{${header.join(',')}}`, data));
        }),
        {numRuns: 2000},
      );
    });
  });
});
