import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {createRandom} from '../../src/common/random';
import {keepPacked, packHalves, valuesOf} from '../../src/model/packed_weight';
import {tensorPieces, weightPieces} from '../../src/model/value_pieces';
import {replaceMethods} from '../../src/tfjs/methods';
import {describeBackends} from '../support/backends';

/** Numbers of several pieces, and some more. */
const SIZE = 3 * 700_001;

/** The bits of all pieces, and how many there are. */
async function bitsOf(
  pieces: AsyncIterable<Float32Array | Int32Array>,
): Promise<{bits: Uint32Array; count: number}> {
  const bits = new Uint32Array(SIZE);
  let [at, count] = [0, 0];
  for await (const {buffer, byteOffset, length} of pieces) {
    bits.set(new Uint32Array(buffer, byteOffset, length), at);
    at += length;
    count++;
  }
  expect(at).to.equal(SIZE);
  return {bits, count};
}

const areEqual = (a: Uint32Array, b: Uint32Array): boolean =>
  Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(
    Buffer.from(b.buffer, b.byteOffset, b.byteLength),
  );

describeBackends('values in pieces', (backend) => {
  it('are those of a tensor, to the last bit, and leave nothing behind', async () => {
    const random = createRandom(7);
    const bits = Uint32Array.from({length: SIZE}, () => Math.floor(random.next() * 0x7f7f_ffff));
    bits.set([1, 0x8000_0000, 0x7f80_0000, 0x7fc0_1234], SIZE - 4); // subnormal, -0, infinity, NaN
    const tensor = tf.tensor2d(new Float32Array(bits.buffer), [3, SIZE / 3]);
    const before = tf.memory().numTensors;
    // a tidy looks at each number that it returns: a minute for those of 400 MB
    const returned: unknown[] = [];
    const engine = tf.engine();
    const {endScope} = engine;
    const putBack = replaceMethods(engine, {
      endScope(result) {
        returned.push(result);
        endScope.call(engine, result);
      },
    });
    const read = await bitsOf(tensorPieces(tensor)).finally(putBack);
    expect(returned.filter((result) => ArrayBuffer.isView(result))).to.be.empty;
    expect(areEqual(read.bits, bits)).to.equal(true);
    expect(tf.memory().numTensors).to.equal(before);
    if (backend !== 'webgpu') expect(read.count).to.equal(3);
    tensor.dispose();
  });

  it('are those of a weight, packed or not', async () => {
    const random = createRandom(8);
    const halves = Uint16Array.from({length: SIZE}, () => Math.floor(random.next() * 0x7f80));
    const layer = tfl.layers.dense({units: SIZE / 3, useBias: false, inputShape: [3]});
    const model = tfl.sequential({layers: [layer]});
    const weight = layer.weights[0]!;
    for (const isPacked of [false, true]) {
      if (isPacked) keepPacked(weight, packHalves(halves));
      const values = await valuesOf(weight);
      const expected = new Uint32Array(values.buffer, values.byteOffset, SIZE);
      const {bits} = await bitsOf(weightPieces(weight));
      expect(areEqual(bits, expected), `packed: ${isPacked}`).to.equal(true);
    }
    model.dispose();
  });
});
