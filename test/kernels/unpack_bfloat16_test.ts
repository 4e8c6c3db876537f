import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {installKernelsForBackend} from '../../src/kernels/install_for_backend';
import {OwLoreUnpackBfloat16} from '../../src/kernels/kernel_names';
import {runKernel} from '../../src/kernels/run_kernel';
import {describeBackends} from '../support/backends';
import {held} from '../support/sentinels';

/** All bfloat16, and then some that make the count odd. */
const all = Uint16Array.from({length: 2 ** 16}, (_, i) => i);

/** The number that bits stand for, written as the first bytes of a float32 whose others are 0. */
function numberOf(bits: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint16(0, bits);
  return view.getFloat32(0);
}

describeBackends('OwLoreUnpackBfloat16', (backend) => {
  if (backend === 'webgl') return;
  before(installKernelsForBackend);

  it('gives every bfloat16 its bits, of NaN, infinities, subnormal numbers and −0 too', async () => {
    const values = await unpack(all, [256, 256]);
    const wrong = all.find((bits) => !Object.is(values[bits], numberOf(bits)));
    expect(wrong).to.equal(undefined);
    // on webgpu a device may change which NaN it is
    const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
    const other = all.find((bits) => words[bits] !== bits * 2 ** 16 && !Number.isNaN(values[bits]));
    expect(other).to.equal(undefined);
  });

  it('of any count, odd or even, and any rank', async () => {
    for (const shape of [[], [0], [1], [7], [2, 4], [3, 3], [2, 0], [1, 3, 5, 1], [17]]) {
      const size = tf.util.sizeFromShape(shape);
      const halves = all.slice(16_200, 16_200 + size);
      const values = await unpack(halves, shape);
      expect(Array.from(values)).to.deep.equal(Array.from(halves, numberOf));
    }
  });

  async function unpack(halves: Uint16Array, shape: number[]): Promise<Float32Array> {
    const before = held();
    const words = new Int32Array(Math.ceil(halves.length / 2));
    new Uint16Array(words.buffer).set(halves);
    const packed = tf.tensor1d(words, 'int32');
    const [result] = runKernel(OwLoreUnpackBfloat16, {packed}, {shape})!;
    expect(result!.shape).to.deep.equal(shape);
    expect(result!.dtype).to.equal('float32');
    const values = (await result!.data<'float32'>()).slice();
    tf.dispose([packed, result!]);
    expect(held()).to.deep.equal(before);
    return values;
  }
});
