import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {onBackend, valueArray} from '../../../src/llama/files/value_memory';
import {describeBackends} from '../../support/backends';
import {held} from '../../support/sentinels';

describeBackends('memory of values that become a tensor', (backend) => {
  const copies = backend === 'wasm' || backend === 'tensorflow';

  it(`is ${copies ? '' : 'not '}given back as soon as the tensor is there`, async () => {
    const before = held();
    for (const shape of [[3], [2, 5], [1], [64, 64], []]) {
      const size = tf.util.sizeFromShape(shape);
      const values = valueArray(size);
      for (let i = 0; i < size; i++) values[i] = i + 1;
      const tensor = onBackend(values, shape);
      expect(values.length).to.equal(copies ? 0 : size);
      expect(tensor.shape).to.deep.equal(shape);
      expect([...(await tensor.data())]).to.deep.equal(Array.from({length: size}, (_, i) => i + 1));
      const twice = tf.add(tensor, tensor);
      expect((await twice.data())[size - 1]).to.equal(2 * size);
      tf.dispose([tensor, twice]);
    }
    expect(held()).to.deep.equal(before);
  });

  it('may be read as int32', async () => {
    const {buffer, byteOffset} = valueArray(2);
    const tensor = onBackend(new Int32Array(buffer, byteOffset, 2).fill(2 ** 30 + 1), [2]);
    expect(tensor.dtype).to.equal('int32');
    expect([...(await tensor.data())]).to.deep.equal([2 ** 30 + 1, 2 ** 30 + 1]);
    tensor.dispose();
  });

  it('may be none', () => {
    const tensor = onBackend(valueArray(0), [0, 3]);
    expect(tensor.shape).to.deep.equal([0, 3]);
    tensor.dispose();
  });

  it('stays where the engine has no resizable buffers', async () => {
    const resizable = Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, 'resizable')!;
    Object.defineProperty(ArrayBuffer.prototype, 'resizable', {
      configurable: true,
      value: undefined,
    });
    try {
      const values = valueArray(2).fill(3);
      const tensor = onBackend(values, [2]);
      expect(values.length).to.equal(2);
      expect([...(await tensor.data())]).to.deep.equal([3, 3]);
      tensor.dispose();
    } finally {
      Object.defineProperty(ArrayBuffer.prototype, 'resizable', resizable);
    }
  });
});
