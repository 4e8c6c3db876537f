import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {fromBfloat16, toBfloat16} from '../../src/files/half_precision';
import {installKernelsForBackend} from '../../src/kernels/install_for_backend';
import {OwLorePackBfloat16} from '../../src/kernels/kernel_names';
import {runKernel} from '../../src/kernels/run_kernel';
import {roundStochastically} from '../../src/model/rounding';
import {createRandom} from '../../src/common/random';
import {describeBackends} from '../support/backends';

/** The two bfloat16 around a number that is none: it without its lower bits, and the next one away from zero. */
function neighbours(value: number): [number, number] {
  const [word] = new Uint32Array(Float32Array.of(value).buffer);
  const half = word! >>> 16;
  return Array.from(fromBfloat16(Uint16Array.of(half, half + 1))) as [number, number];
}

describeBackends('OwLorePackBfloat16', (backend) => {
  before(installKernelsForBackend);

  it('is there where a step cannot read values, and rounds as roundStochastically does', async () => {
    const values = Float32Array.from({length: 4097}, (_, i) =>
      Math.fround(Math.sin(i) * 2 ** (i % 40)),
    );
    values.set([NaN, Infinity, -Infinity, -0, 1, 3.4028234e38]);
    const x = tf.tensor1d(values);
    const packed = runKernel(OwLorePackBfloat16, {x}, {seed: 2 ** 32 - 3});
    expect(packed !== null).to.equal(backend === 'webgpu');
    if (packed) {
      const words = await packed[0]!.data<'int32'>();
      const halves = new Uint16Array(words.buffer, words.byteOffset, values.length);
      expect(fromBfloat16(halves)).to.deep.equal(
        fromBfloat16(roundStochastically(values, 2 ** 32 - 3)),
      );
    }
    tf.dispose([x, ...(packed ?? [])]);
  });
});

describe('roundStochastically', () => {
  const random = createRandom(1);
  const values = Float32Array.from({length: 4096}, () => {
    const scale = 2 ** Math.floor(random.next() * 250 - 125);
    return (random.next() - 0.5) * scale;
  });

  it('gives one of the two neighbours, the same for the same seed and others for another', () => {
    const rounded = fromBfloat16(roundStochastically(values, 7));
    values.forEach((value, i) => expect(rounded[i]).to.be.oneOf(neighbours(value)));
    expect(roundStochastically(values, 7)).to.deep.equal(roundStochastically(values, 7));
    const others = roundStochastically(values, 8);
    const same = others.filter((half, i) => half === toBfloat16(rounded)[i]).length;
    // two numbers that are up with probability p agree with p² + (1 − p)², on average 2/3
    expect(same / values.length).to.be.closeTo(2 / 3, 5 * Math.sqrt(2 / 9 / values.length));
  });

  it('is right on average: of many roundings, over seeds and over places', () => {
    const count = 20_000;
    for (const part of [1 / 65536, 0.01, 0.25, 0.5, 0.9, 65535 / 65536]) {
      const value = Math.fround(1 + part * 2 ** -7);
      const overPlaces = roundStochastically(new Float32Array(count).fill(value), 3);
      const overSeeds = Uint16Array.from(
        {length: count},
        (_, seed) => roundStochastically(Float32Array.of(value), seed)[0]!,
      );
      for (const halves of [overPlaces, overSeeds]) {
        const up = halves.filter((half) => half === 0x3f81).length;
        expect(up + halves.filter((half) => half === 0x3f80).length).to.equal(count);
        // five standard deviations of a binomial distribution, and one that is up by chance
        expect(up / count).to.be.closeTo(
          part,
          5 * Math.sqrt((part * (1 - part)) / count) + 1 / count,
        );
      }
    }
  });

  it('is independent from place to place', () => {
    const ups = Array.from(
      roundStochastically(new Float32Array(2 ** 16).fill(1 + 2 ** -8), 5),
      (half) => half - 0x3f80,
    );
    for (const lag of [1, 2, 3, 8, 64, 576, 1536]) {
      const pairs = ups.slice(lag).filter((up, i) => up === ups[i]!).length;
      const n = ups.length - lag;
      expect(pairs / n, `lag ${lag}`).to.be.closeTo(0.5, 5 * Math.sqrt(0.25 / n));
    }
  });

  it('changes no bfloat16, keeps NaN, and makes nothing infinite', () => {
    const all = Uint16Array.from({length: 2 ** 16}, (_, i) => i);
    expect(roundStochastically(fromBfloat16(all), 9)).to.deep.equal(all);
    const bits = Uint32Array.of(0x7f800001, 0xffffffff, 0x7f7fffff, 0xff7fffff, 0x80000001);
    const special = Array.from({length: 50}, (_, seed) =>
      Array.from(fromBfloat16(roundStochastically(new Float32Array(bits.buffer), seed))),
    );
    for (const [nan, otherNan, largest, smallest, zero] of special) {
      expect([nan, otherNan]).to.deep.equal([NaN, NaN]);
      expect([largest, smallest].every(Number.isFinite)).to.equal(true);
      expect(Object.is(zero, -0) || zero === -(2 ** -133)).to.equal(true);
    }
  });
});
