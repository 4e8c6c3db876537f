import {readFileSync} from 'node:fs';
import {expect} from 'chai';
import fc from 'fast-check';
import {parseSafetensors, serializeSafetensors, type HostTensor} from '../../src/llama';
import {readTensors} from '../support/fixtures';

/** A file with this header and `dataLength` bytes of zeros. */
function file(header: unknown, dataLength = 0): Uint8Array {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(dataLength)]);
}

const roundTrip = (tensors: Map<string, HostTensor>, dtype: 'F32' | 'BF16') =>
  parseSafetensors(serializeSafetensors(tensors, {dtype})).tensors;

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

  it('rounds to the nearest bfloat16, ties to even', () => {
    const values = Float32Array.of(1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, -0.1);
    const infinite = Float32Array.of(Infinity, -Infinity, NaN, -0, 3.4e38);
    const tensors = new Map([
      ['finite', {shape: [5], values}],
      ['special', {shape: [5], values: infinite}],
    ]);
    const read = roundTrip(tensors, 'BF16');
    expect([...read.get('finite')!.values]).to.deep.equal([
      1,
      1, // halfway between 1 and 1 + 2⁻⁷
      1 + 2 ** -6, // halfway between 1 + 2⁻⁷ and 1 + 2⁻⁶
      1 + 2 ** -7,
      -0.10009765625,
    ]);
    expect([...read.get('special')!.values]).to.deep.equal([
      Infinity,
      -Infinity,
      NaN,
      -0,
      Infinity, // above the largest bfloat16
    ]);
  });

  it('reads half precision', () => {
    const bits = [0x3c00, 0xc000, 0x0001, 0x03ff, 0x0400, 0x7bff, 0x7c00, 0xfc00, 0x7e00, 0x8000];
    const bytes = file({x: {dtype: 'F16', shape: [10], data_offsets: [0, 20]}}, 20);
    const data = new DataView(bytes.buffer, bytes.byteOffset + bytes.length - 20);
    bits.forEach((word, i) => data.setUint16(2 * i, word, true));
    expect([...parseSafetensors(bytes).tensors.get('x')!.values]).to.deep.equal([
      1,
      -2,
      2 ** -24,
      1023 * 2 ** -24,
      2 ** -14,
      65504,
      Infinity,
      -Infinity,
      NaN,
      -0,
    ]);
  });

  it('starts the values at a multiple of 8 bytes', () => {
    for (const name of ['a', 'ab', 'abc', 'abcd']) {
      const bytes = serializeSafetensors(
        new Map([[name, {shape: [], values: Float32Array.of(1)}]]),
      );
      expect((bytes.length - 4) % 8).to.equal(0);
    }
  });

  it('refuses to write a tensor whose values do not fit its shape', () => {
    const tensors = new Map([['x', {shape: [2, 2], values: new Float32Array(3)}]]);
    expect(() => serializeSafetensors(tensors)).to.throw(
      "safetensors: tensor 'x' has 3 values for shape [2, 2]",
    );
  });

  const x = {dtype: 'F32', shape: [2], data_offsets: [0, 8]};
  const damaged: Array<[string, Uint8Array, string]> = [
    ['no header', new Uint8Array(5), 'the file has 5 bytes, less than a header'],
    ['a header longer than the file', file({x}, 8).subarray(0, 20), 'but the file has 20 bytes'],
    ['a huge header', new Uint8Array(8).fill(255), 'but the file has 8 bytes'],
    ['no JSON', file('{"x": '), 'the header is not JSON'],
    ['a list', file([]), 'the header is not a JSON object'],
    ['an entry that is no object', file({x: 1}), "entry of tensor 'x' is not an object"],
    ['an unknown dtype', file({x: {...x, dtype: 'I8'}}, 8), 'must have dtype F32, F16 or BF16'],
    ['an inherited name as dtype', file({x: {...x, dtype: 'toString'}}, 8), 'must have dtype'],
    ['a negative size', file({x: {...x, shape: [-2]}}, 8), "tensor 'x' has no valid shape"],
    ['no offsets', file({x: {...x, data_offsets: [0]}}, 8), 'has no valid data_offsets'],
    ['too few bytes', file({x: {...x, shape: [3]}}, 8), 'must have 12 bytes; got 8'],
    ['data that is missing', file({x}, 7), 'the tensors need 8 bytes of data; the file has 7'],
    ['data of nobody', file({x}, 9), 'the tensors need 8 bytes of data; the file has 9'],
    ['an overlap', file({x, y: x}, 8), "tensor 'y' must start at byte 8 of the data; got 0"],
    [
      'a hole',
      file({x: {...x, data_offsets: [4, 12]}}, 12),
      "tensor 'x' must start at byte 0 of the data; got 4",
    ],
    ['metadata that is no text', file({__metadata__: {a: 1}}), '__metadata__ must hold texts only'],
  ];
  for (const [what, bytes, message] of damaged) {
    it(`refuses ${what}`, () => {
      const parse = () => parseSafetensors(bytes);
      expect(parse).to.throw(/^safetensors: /);
      expect(parse).to.throw(message);
    });
  }
});
