import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import type {StoredTensor} from '../../../src/llama/files/checkpoint';
import {BYTES, decode, encode, type FloatType} from '../../../src/files/float_type';
import {haveEqualValues, readPieces, readValues} from '../../../src/llama/files/tensor_reader';
import {encodedPieces} from '../../../src/llama/files/tensor_writer';
import {openSource} from '../../../src/files/open_source';
import {FileServer} from '../../files/file_server';

// Larger than what is read or written at a time, by other than a whole number of rows.
const [rows, columns] = [1301, 1009];
/** Values that even bfloat16 holds. */
const values = Float32Array.from({length: rows * columns}, (_, i) => (i * 31) % 251);
const transposed = Float32Array.from(
  values,
  (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!,
);

function stored(of: Float32Array, dtype: FloatType, shape = [rows, columns]): StoredTensor {
  const bytes = Buffer.concat([Buffer.alloc(3), encode(of, dtype)]);
  const file = {
    path: 'test',
    size: bytes.length,
    read: async (from: number, to: number) => bytes.subarray(from, to),
    close: async () => undefined,
  };
  return {name: 'x', dtype, shape, from: 3, to: bytes.length, file};
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

describe('tensors in pieces', () => {
  for (const dtype of ['F32', 'F16', 'BF16'] as const) {
    it(`are read from ${dtype}, as they are and transposed`, async () => {
      const tensor = stored(values, dtype);
      const pieces = await collect(readPieces(tensor));
      if (dtype === 'F32') expect(pieces).to.have.length.above(1);
      expect(await readValues(tensor, false)).to.deep.equal(values);
      expect(await readValues(tensor, true)).to.deep.equal(transposed);
    });

    it(`are written as ${dtype}, as they are and transposed`, async () => {
      for (const isTransposed of [false, true]) {
        const shape = isTransposed ? [columns, rows] : [rows, columns];
        const variable = tf.variable(tf.tensor(isTransposed ? transposed : values, shape));
        const weight = {
          name: 'x',
          // what is read of a weight
          variable: {read: () => variable, shape} as unknown as tfl.LayerVariable,
          transposed: isTransposed,
        };
        const pieces = await collect(encodedPieces('test', weight, dtype));
        expect(pieces).to.have.length.above(1);
        const bytes = Buffer.concat(pieces);
        expect(bytes.length).to.equal(values.length * BYTES[dtype]);
        expect(decode(bytes, dtype)).to.deep.equal(values);
        variable.dispose();
      }
    });
  }

  it('are compared, whatever their types', async () => {
    const changed = Float32Array.from(values);
    changed[changed.length - 1]!++;
    const nan = Float32Array.of(NaN);
    expect(await haveEqualValues(stored(values, 'F32'), stored(values, 'BF16'))).to.equal(true);
    expect(await haveEqualValues(stored(values, 'F16'), stored(values, 'F32'))).to.equal(true);
    expect(await haveEqualValues(stored(values, 'F16'), stored(changed, 'F32'))).to.equal(false);
    expect(await haveEqualValues(stored(nan, 'F32', []), stored(nan, 'F32', []))).to.equal(false);
  });

  it('are compared in one pass over a file that a server sends as a whole', async () => {
    const bytes = encode(values, 'F32');
    const server = await FileServer.start(new Map([['x', Buffer.concat([bytes, bytes])]]), {
      ranges: false,
    });
    try {
      const file = (await openSource('test', server.url).open('x'))!;
      const [a, b] = [0, bytes.length].map((from): StoredTensor => {
        const to = from + bytes.length;
        return {name: 'x', dtype: 'F32', shape: [rows, columns], from, to, file};
      });
      expect(await haveEqualValues(b!, a!)).to.equal(true);
      expect(server.requests).to.have.length(1);
      await file.close();
    } finally {
      await server.close();
    }
  });

  it('of one value, and of none, are read', async () => {
    expect(await readValues(stored(Float32Array.of(7), 'F32', []), false)).to.deep.equal(
      Float32Array.of(7),
    );
    expect(await readValues(stored(new Float32Array(), 'F32', [3, 0]), false)).to.have.length(0);
  });
});
