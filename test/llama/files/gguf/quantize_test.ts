import {expect} from 'chai';
import {writableTypes} from '../../../../src/llama/files/gguf/tensor_types';
import {readTensors} from '../../../support/fixtures';

describe('values in the types of GGUF files', () => {
  const tensors = readTensors('gguf/quantized');
  const floats = (name: string): Float32Array => tensors.get(name)!.values as Float32Array;
  const bytes = (name: string): number[] => [...tensors.get(name)!.values];

  for (const name of ['F16', 'BF16', 'Q8_0'] as const) {
    it(`have the bytes that the gguf package of Python gives them: ${name}`, () => {
      const {encode, blockValues, blockBytes} = writableTypes[name];
      const values = floats('values');
      expect([...encode(values)]).to.deep.equal(bytes(name));
      expect(bytes(name)).to.have.length((values.length / blockValues) * blockBytes);
      // a part of a larger array
      const part = values.subarray(64, 128);
      expect([...encode(part)]).to.deep.equal([...encode(Float32Array.from(part))]);
    });
  }

  it('have them beyond float16, too, in types that go so far', () => {
    const large = floats('large');
    expect(Math.max(...large.map(Math.abs))).to.be.within(65520, writableTypes.Q8_0.limit);
    for (const name of ['Q8_0', 'BF16'] as const)
      expect([...writableTypes[name].encode(large)], name).to.deep.equal(bytes(`large${name}`));
  });

  it('are finite below the limit of their type, and infinite from there on', () => {
    for (const [name, {encode, decode, limit, blockValues}] of Object.entries(writableTypes)) {
      if (name === 'F32') continue;
      const encoded = (value: number): number =>
        decode(encode(new Float32Array(blockValues).fill(value)))[0]!;
      const [bits] = new Uint32Array(Float32Array.of(limit).buffer);
      const [below] = new Float32Array(Uint32Array.of(bits! - 1).buffer);
      expect(encoded(limit), name).to.equal(Infinity);
      expect(encoded(-below!), name).to.be.within(-limit, -limit / 1.01);
    }
  });
});
