import {expect} from 'chai';
import {readGgufHeader} from '../../../../src/llama/files/gguf/header';
import {writableTypes} from '../../../../src/llama/files/gguf/tensor_types';
import {
  bytesOfTensor,
  paddingAfter,
  serializeGgufHeader,
  type NewTensor,
  type TypedValue,
} from '../../../../src/llama/files/gguf/write_header';
import {fileOf} from './gguf_bytes';

describe('headers of GGUF files that are written', () => {
  it('are read as they were written, with every type of value, of any length', async () => {
    // more than the memory that a writer begins with, so that every kind of value crosses its end
    for (const length of [0, 1, 30_000]) {
      const count = <T>(one: (i: number) => T): T[] => Array.from({length}, (_, i) => one(i));
      const values: Array<[string, TypedValue, unknown]> = [
        ['text', 'é'.repeat(length), 'é'.repeat(length)],
        ['flag', true, true],
        ['off', false, false],
        ['count', {uint32: 4e9}, 4e9],
        ['single', {float32: -0.5}, -0.5],
        ['texts', {texts: count((i) => `t${i}`)}, count((i) => `t${i}`)],
        ['integers', {int32s: count((i) => 7 - i)}, count((i) => 7 - i)],
        ['floats', {float32s: count((i) => i / 4)}, count((i) => i / 4)],
      ];
      const tensors: NewTensor[] = [
        {name: 'a', shape: [3, 32], type: writableTypes.Q8_0},
        {name: 'b', shape: [5], type: writableTypes.F32},
        {name: 'c'.repeat(60), shape: [2, 7], type: writableTypes.BF16},
      ];
      const header = serializeGgufHeader(
        new Map(values.map(([key, value]) => [key, value])),
        tensors,
      );
      expect(header.length % 32).to.equal(0);
      const size = tensors.reduce((sum, t) => sum + bytesOfTensor(t) + paddingAfter(t), 0);
      const file = new Uint8Array(header.length + size);
      file.set(header);
      const read = await readGgufHeader('test', fileOf(file));
      expect(Object.fromEntries(read.metadata)).to.deep.equal(
        Object.fromEntries(values.map(([key, , value]) => [key, value])),
      );
      expect(
        read.tensors.map(({name, shape, type, from, to}) => [
          name,
          shape,
          type.name,
          from - header.length,
          to - from,
        ]),
      ).to.deep.equal([
        ['a', [3, 32], 'Q8_0', 0, 102],
        ['b', [5], 'F32', 128, 20],
        ['c'.repeat(60), [2, 7], 'BF16', 160, 28],
      ]);
    }
  });
});
