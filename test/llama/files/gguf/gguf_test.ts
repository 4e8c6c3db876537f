import {readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import {ByteReader} from '../../../../src/llama/files/gguf/byte_reader';
import {readGgufHeader, type GgufHeader} from '../../../../src/llama/files/gguf/header';
import {readMetadataValue} from '../../../../src/llama/files/gguf/metadata';
import {tensorTypeNames} from '../../../../src/llama/files/gguf/tensor_types';
import {readTensors} from '../../../support/fixtures';
import {rejection} from '../../../support/rejection';
import {
  f32,
  fileOf,
  ggufBytes,
  u32,
  uint32,
  uint64,
  type GgufParts,
  type Value,
} from './gguf_bytes';

const types = Uint8Array.from(
  readFileSync(fileURLToPath(new URL('../../../fixtures/gguf/types.gguf', import.meta.url))),
);

const read = (parts: GgufParts): Promise<GgufHeader> =>
  readGgufHeader('test', fileOf(ggufBytes(parts)));

const bitsOf = ({buffer, byteOffset, length}: Float32Array): Uint32Array =>
  new Uint32Array(buffer, byteOffset, length);

describe('GGUF files', () => {
  it('hold values as the gguf package of Python dequantizes them, to the bit', async () => {
    const {tensors} = await readGgufHeader('test', fileOf(types));
    const expected = readTensors('gguf/types');
    expect(tensors.map(({name}) => name)).to.have.members([...expected.keys()]);
    for (const {name, type, shape, from, to} of tensors) {
      expect(type.name).to.equal(name);
      expect(shape).to.deep.equal([1, 256]);
      const values = type.decode(types.subarray(from, to));
      const wanted = expected.get(name)!.values as Float32Array;
      expect(bitsOf(values), name).to.deep.equal(bitsOf(wanted));
    }
    expect(tensorTypeNames).to.have.members(['F32', ...expected.keys()]);
  });

  it('are read in version 2, too, with every type of value', async () => {
    const {metadata, tensors} = await read({
      version: 2,
      keys: [
        ['text', 'é'],
        ['flag', true],
        ['count', u32(4e9)],
        ['negative', {type: 5, value: -3}],
        ['single', f32(0.5)],
        ['bytes', {type: 0, bytes: Buffer.from([200])}],
        ['signed byte', {type: 1, bytes: Buffer.from([200])}],
        ['short', {type: 2, bytes: Buffer.from([1, 255])}],
        ['signed short', {type: 3, bytes: Buffer.from([1, 255])}],
        ['long', {type: 10, bytes: uint64(2 ** 40)}],
        ['signed long', {type: 11, bytes: uint64(2n ** 64n - 5n)}],
        ['double', {type: 12, bytes: Buffer.from(new Float64Array([0.1]).buffer)}],
        ['texts', {list: ['a', '', 'b']}],
        ['numbers', {list: [u32(1), u32(2)]}],
        ['none', {list: []}],
      ],
      tensors: [
        {name: 'b', dimensions: [3, 2], type: 0, data: new Uint8Array(24)},
        {name: 'a', dimensions: [32], type: 8, data: new Uint8Array(34)},
      ],
    });
    expect(Object.fromEntries(metadata)).to.deep.equal({
      ...{text: 'é', flag: true, count: 4e9, negative: -3, single: 0.5, bytes: 200},
      ...{'signed byte': -56, short: 65281, 'signed short': -255, long: 2 ** 40, 'signed long': -5},
      ...{double: 0.1, texts: ['a', '', 'b'], numbers: [1, 2], none: []},
    });
    expect(tensors.map(({name, shape, from, to}) => [name, shape, to - from])).to.deep.equal([
      ['b', [2, 3], 24],
      ['a', [32], 34],
    ]);
    expect(tensors[1]!.from - tensors[0]!.from).to.equal(32);
  });

  it('are read in pieces, which values and texts may cross', async () => {
    const long = Array.from({length: 4000}, (_, i) => `${i}`.repeat(100));
    const bytes = ggufBytes({
      keys: [
        ['long', {list: long}],
        ['end', 'x'.repeat(1_500_000)],
      ],
    });
    const reads: number[] = [];
    const file = fileOf(bytes);
    const {metadata} = await readGgufHeader('test', {
      ...file,
      read: (from, to) => {
        reads.push(to - from);
        return file.read(from, to);
      },
    });
    expect(metadata.get('long')).to.deep.equal(long);
    expect(metadata.get('end')).to.have.length(1_500_000);
    expect(Math.max(...reads)).to.equal(1_500_000);
    expect(reads.length).to.be.within(3, 5);
  });

  /** A file that ends with its last byte that is not 0. */
  const cut = (parts: GgufParts): Uint8Array => {
    const bytes = ggufBytes(parts);
    let end = bytes.length;
    while (bytes[end - 1] === 0) end--;
    return bytes.subarray(0, end);
  };
  const one = {type: 0, bytes: Buffer.from([1])};
  const last = u32(0x01000000);

  it('may end with their last value, text, list or tensor', async () => {
    const long = 'x'.repeat(1_500_000);
    const values: Array<[Value, unknown]> = [
      [one, 1],
      ['text', 'text'],
      [long, long],
      [{list: [u32(1), last]}, [1, 0x01000000]],
    ];
    for (const [value, expected] of values) {
      const file = fileOf(cut({keys: [['', value]]}));
      const reads: number[] = [];
      const {metadata} = await readGgufHeader('test', {
        ...file,
        read: (from, to) => {
          reads.push(from);
          return file.read(from, to);
        },
      });
      expect(metadata.get('')).to.deep.equal(expected);
      expect(reads.length).to.equal(value === long ? 2 : 1);
    }
    const data = new Uint8Array(68).fill(1);
    const bytes = cut({tensors: [{name: 't', dimensions: [32, 2], type: 8, data}]});
    const {tensors} = await readGgufHeader('test', fileOf(bytes));
    expect(tensors[0]!.to).to.equal(bytes.length);
  });

  it('may have as many keys and dimensions, and names and texts as long, as the limits say', async () => {
    const keys = Array.from({length: 10_000}, (_, i): [string, Value] => [`${i}`, one]);
    expect((await read({keys})).metadata.size).to.equal(10_000);
    expect((await rejection(read({keys: [...keys, ['x', one]]}))).message).to.equal(
      'test: it says that it has 10001 keys; no model has more than 10000',
    );
    const [name, long] = ['k'.repeat(2 ** 16 - 1), 'x'.repeat(2_000_000)];
    const {metadata, tensors} = await read({
      keys: [[name, long]],
      tensors: [{name, dimensions: [1, 1, 1, 1], type: 0, data: new Uint8Array(4)}],
    });
    expect(metadata.get(name)).to.equal(long);
    expect([tensors[0]!.name, tensors[0]!.shape]).to.deep.equal([name, [1, 1, 1, 1]]);
  });

  it('have no more values in lists than 4 million, in all', async () => {
    const reader = (): ByteReader =>
      new ByteReader(
        'test',
        fileOf(Uint8Array.from([...uint32(9), ...uint32(0), ...uint64(1), 7])),
      );
    expect(await readMetadataValue(reader(), 'a', {values: 3_999_999})).to.deep.equal([7]);
    const refused = await rejection(readMetadataValue(reader(), 'a', {values: 4_000_000}));
    expect(refused.message).to.match(/"a" has 1 values; no model has more than 4000000 in all$/);
  });

  it('may have long lists of numbers, and of empty texts', async () => {
    const count = 300_000;
    const numbers = Buffer.concat([uint32(4), uint64(count), Buffer.alloc(4 * count, 1)]);
    // as many as the file can have; their lengths cross the pieces in which it is read
    const texts = Buffer.concat([uint32(8), uint64(count), Buffer.alloc(8 * count)]);
    const {metadata} = await read({
      keys: [
        ['numbers', {type: 9, bytes: numbers}],
        ['texts', {type: 9, bytes: texts}],
      ],
    });
    expect(metadata.get('numbers')).to.deep.equal(Array(count).fill(0x01010101));
    expect(metadata.get('texts')).to.deep.equal(Array(count).fill(''));
  });

  it('may be aligned to any power of two up to a MiB', async () => {
    for (const alignment of [1, 2, 32, 2 ** 20])
      await read({keys: [['general.alignment', u32(alignment)]]});
    const wrongOnes = [u32(0), u32(24), u32(2 ** 21), f32(0.5), f32(-8), '8', true];
    for (const alignment of wrongOnes)
      expect((await rejection(read({keys: [['general.alignment', alignment]]}))).message).to.match(
        /^test: general\.alignment must be a power of two; got /,
      );
  });

  it('have their tensors in any order, of which some may be empty', async () => {
    const data = new Uint8Array(34);
    const {tensors} = await read({
      tensors: [
        {name: 'c', dimensions: [32], type: 8, offset: 128, data},
        {name: 'a', dimensions: [32], type: 8, offset: 0, data},
        {name: 'b', dimensions: [32], type: 8, offset: 64, data},
        {name: 'none', dimensions: [32, 0], type: 8, offset: 64},
        {name: 'd', dimensions: [32], type: 8, offset: 192, data},
        {name: 'nothing', dimensions: [32, 0], type: 8, offset: 128},
      ],
    });
    expect(tensors.map(({name}) => name)).to.deep.equal(['a', 'none', 'b', 'nothing', 'c', 'd']);
  });

  const tensor = {name: 't', dimensions: [32, 2], type: 8, data: new Uint8Array(68)};
  const raw = (...bytes: Buffer[]): Buffer => Buffer.concat(bytes);
  const wrong: Array<[string, GgufParts | Uint8Array, RegExp]> = [
    ['nothing', new Uint8Array(), /the file ends at byte 0, within the start of a GGUF file/],
    ['another magic', {magic: 'GGML'}, /it does not begin with GGUF/],
    ['version 1', {version: 1}, /has version 1 of the format; versions 2 and 3 can be read/],
    [
      'big-endian',
      {version: 0x3000000},
      /it is for big-endian machines; convert it with gguf-conv/,
    ],
    ['too many keys', {keyCount: 2 ** 33}, /says that it has 8589934592 keys; no model has more/],
    ['more keys than bytes', {keyCount: 9000}, /says that it has 9000 keys, for which its 8 furt/],
    [
      'one key more than bytes',
      cut({keyCount: 2, keys: [['', one]]}),
      /it has 2 keys, for which its 13 further bytes are too few$/,
    ],
    [
      'one value more than bytes',
      cut({keys: [['a', {type: 9, bytes: raw(uint32(4), uint64(3), uint32(1), uint32(2 ** 24))}]]}),
      /"a" should have 3 values, for which the 8 bytes that are left of the file are too few$/,
    ],
    [
      'a tensor of which a part is missing',
      ggufBytes({tensors: [tensor]}).slice(0, 60),
      /the file ends at byte 60, within tensor "t", which takes 28 bytes from byte 37 on; /,
    ],
    ['more tensors than bytes', {tensorCount: 5000}, /5000 tensors, for which its/],
    [
      'a key twice',
      {
        keys: [
          ['a', 'x'],
          ['a', 'y'],
        ],
      },
      /it has the key "a" twice/,
    ],
    [
      'a name that is too long',
      {keyCount: 1, keys: [['k'.repeat(70_000), 'x']]},
      /a name of 70000 b/,
    ],
    ['a type of value', {keys: [['a', {type: 99, bytes: Buffer.alloc(8)}]]}, /"a" is of type 99/],
    [
      'a list of lists',
      {keys: [['a', {type: 9, bytes: raw(uint32(9), uint64(1), uint32(4), uint64(0))}]]},
      /"a" is of type 9, which the format does not have here/,
    ],
    [
      'a list that is longer than the file',
      {keys: [['a', {type: 9, bytes: raw(uint32(4), uint64(3_000_000))}]]},
      /"a" should have 3000000 values, for which the \d+ bytes that are left of the file are too few/,
    ],
    [
      'a list beyond reason',
      {keys: [['a', {type: 9, bytes: raw(uint32(0), uint64(2n ** 63n))}]]},
      /"a" has 9223372036854776000 values; no model has more than 4000000 in all/,
    ],
    [
      'a text that is longer than the file',
      {keys: [['a', {type: 8, bytes: raw(uint64(1_000_000))}]]},
      /the file ends at byte \d+, within the value of "a", which takes 1000000 bytes from byte \d+ on/,
    ],
    [
      'a text beyond reason',
      {keys: [['a', {type: 8, bytes: raw(uint64(2n ** 60n))}]]},
      /"a" has a text of \d+ bytes; no model has one of more than 2000000/,
    ],
    [
      'a text that is not UTF-8',
      {keys: [['a', {type: 8, bytes: raw(uint64(1), Buffer.from([255]))}]]},
      /the value of "a" is not UTF-8/,
    ],
    [
      'a type of tensor',
      {tensors: [{...tensor, type: 10, dimensions: [256]}]},
      /tensor "t" is of type Q2_K; supported are F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K; take a file/,
    ],
    ['a type without a name', {tensors: [{...tensor, type: 77}]}, /"t" is of type number 77; supp/],
    ['five dimensions', {tensors: [{...tensor, dimensions: [1, 1, 1, 1, 1]}]}, /has 5 dimensions/],
    ['half a block', {tensors: [{...tensor, dimensions: [48]}]}, /rows of 48 values; in type Q8_0/],
    [
      'sizes whose product is beyond numbers',
      {tensors: [{...tensor, dimensions: [2 ** 31, 2 ** 31, 2 ** 31]}]},
      /"t" of shape \[2147483648, 2147483648, 2147483648\] from byte 0 of the data on is beyond/,
    ],
    [
      'an offset beyond the end',
      {tensors: [{...tensor, offset: 2 ** 40, data: undefined}].map(({data: _, ...rest}) => rest)},
      /"t" of shape \[2, 32\] in Q8_0 ends at byte \d+, but the file has \d+ bytes/,
    ],
    [
      'an offset between',
      {tensors: [{...tensor, offset: 8}]},
      /begins at byte 8 of the data, which m/,
    ],
    ['a tensor twice', {tensors: [tensor, tensor]}, /tensor "t" is there twice/],
    [
      'tensors that overlap',
      {tensors: [tensor, {...tensor, name: 'u', offset: 32}]},
      /tensors "t" and "u" overlap/,
    ],
    [
      'a cut off end',
      ggufBytes({tensors: [tensor]}).slice(0, 120),
      /"t" .* ends at byte \d+, but the/,
    ],
  ];
  for (const [title, parts, message] of wrong) {
    it(`are refused with ${title}`, async () => {
      const bytes = parts instanceof Uint8Array ? parts : ggufBytes(parts);
      const error = await rejection(readGgufHeader('test: x.gguf', fileOf(bytes)));
      expect(error.message)
        .to.match(message)
        .and.match(/^test: x\.gguf: /);
    });
  }
});
