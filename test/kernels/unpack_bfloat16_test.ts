import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {installKernelsForBackend} from '../../src/kernels/install_for_backend';
import {OwLoreUnpackBfloat16} from '../../src/kernels/kernel_names';
import {OwLoreUnpackRows, OwLoreUnpackWindow} from '../../src/kernels/llama/kernel_names';
import {runKernel} from '../../src/kernels/run_kernel';
import {describeBackends} from '../support/backends';
import {held} from '../support/sentinels';
import {kernelSets} from './kernel_sets';

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
  after(() => {
    // those of wasm are the tests' usual state
    const {kernels} = kernelSets.find((set) => set.backend === backend)!;
    if (backend !== 'wasm') kernels.uninstallKernels();
  });

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
    return results(OwLoreUnpackBfloat16, halves, {shape}, shape);
  }

  it('gives windows and rows of a matrix, of odd and even width', async () => {
    for (const [rows, columns] of [
      [5, 7],
      [6, 8],
      [1, 1],
    ] as const) {
      const halves = all.slice(16_200, 16_200 + rows * columns);
      const entry = (row: number, column: number): number =>
        numberOf(halves[row * columns + column]!);
      for (const begin of [
        [0, 0],
        [rows - 1, columns - 1],
        [rows >> 1, columns >> 1],
      ] as const) {
        const ends = [begin, [begin[0], columns], [rows, columns]] as const;
        for (const end of ends) {
          const shape: [number, number] = [end[0] - begin[0], end[1] - begin[1]];
          const values = await results(OwLoreUnpackWindow, halves, {columns, begin, shape}, shape);
          const expected = Array.from({length: shape[0] * shape[1]}, (_, i) =>
            entry(begin[0] + Math.floor(i / shape[1]), begin[1] + (i % shape[1])),
          );
          expect(Array.from(values), `[${begin.join()}] ${shape.join()}`).to.deep.equal(expected);
        }
      }
      const ids = [rows - 1, 0, rows >> 1, 0];
      const given = tf.tensor2d(ids, [2, 2], 'int32');
      const shape = [2, 2, columns];
      const values = await results(OwLoreUnpackRows, halves, {columns}, shape, {ids: given});
      const expected = ids.flatMap((id) =>
        Array.from({length: columns}, (_, column) => entry(id, column)),
      );
      expect(Array.from(values)).to.deep.equal(expected);
      given.dispose();
    }
  });

  if (backend === 'cpu' || backend === 'wasm' || backend === 'tensorflow') {
    it('refuses the id of no row', () => {
      const packed = tf.zeros([6], 'int32');
      for (const id of [-1, 4]) {
        const ids = tf.tensor1d([0, id], 'int32');
        expect(() => runKernel(OwLoreUnpackRows, {packed, ids}, {columns: 3})).to.throw(
          new RegExp(`${id} is not in \\[0, `),
        );
        ids.dispose();
      }
      packed.dispose();
    });
  }

  async function results(
    kernel: string,
    halves: Uint16Array,
    attrs: Record<string, unknown>,
    shape: readonly number[],
    inputs: Record<string, tf.Tensor> = {},
  ): Promise<Float32Array> {
    const before = held();
    const words = new Int32Array(Math.ceil(halves.length / 2));
    new Uint16Array(words.buffer).set(halves);
    const packed = tf.tensor1d(words, 'int32');
    const [result] = runKernel(kernel, {packed, ...inputs}, attrs)!;
    expect(result!.shape).to.deep.equal(shape);
    expect(result!.dtype).to.equal('float32');
    const values = (await result!.data<'float32'>()).slice();
    tf.dispose([packed, result!]);
    expect(held()).to.deep.equal(before);
    return values;
  }
});
