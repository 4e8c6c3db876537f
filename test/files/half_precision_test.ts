import {expect} from 'chai';
import fc from 'fast-check';
import {fromBfloat16, fromFloat16, toBfloat16, toFloat16} from '../../src/files/half_precision';

/** All 65536 patterns of 16 bits. */
const all = Uint16Array.from({length: 2 ** 16}, (_, i) => i);
const isNaN16 = (bits: number, infinity: number) => (bits & 0x7fff) > infinity;

interface HalfType {
  name: string;
  from: (halves: Uint16Array) => Float32Array;
  to: (values: Float32Array) => Uint16Array;
  /** Bits of infinity. */
  infinity: number;
  /** What all bits stand for, found in another way than the code's. */
  truth: Float32Array;
}

const types: HalfType[] = [
  {
    name: 'float16',
    from: fromFloat16,
    to: toFloat16,
    infinity: 0x7c00,
    // exponent and fraction moved to their places in a float32, then the exponents' bias made good
    truth: Float32Array.from(all, (bits) => {
      if (isNaN16(bits, 0x7c00)) return NaN;
      const sign = bits & 0x8000 ? -1 : 1;
      if ((bits & 0x7fff) === 0x7c00) return sign * Infinity;
      const moved = new Float32Array(Uint32Array.of((bits & 0x7fff) << 13).buffer)[0]!;
      return sign * moved * 2 ** 112;
    }),
  },
  {
    name: 'bfloat16',
    from: fromBfloat16,
    to: toBfloat16,
    infinity: 0x7f80,
    truth: Float32Array.from(all, (bits) => {
      const view = new DataView(new ArrayBuffer(4));
      view.setUint16(0, bits);
      return view.getFloat32(0);
    }),
  },
];

for (const {name, from, to, infinity, truth} of types) {
  describe(name, () => {
    it('of any bits is the number that they stand for', () => {
      const values = from(all);
      all.forEach((bits) => {
        if (!Object.is(values[bits], truth[bits])) {
          throw new Error(`${bits} gave ${values[bits]}, not ${truth[bits]}`);
        }
      });
      expect([...from(Uint16Array.of(infinity, infinity | 0x8000))]).to.deep.equal([
        Infinity,
        -Infinity,
      ]);
    });

    it('of any bits comes back with the same bits, NaN as a NaN', () => {
      const back = to(from(all));
      all.forEach((bits) => {
        const same = isNaN16(bits, infinity) ? isNaN16(back[bits]!, infinity) : back[bits] === bits;
        if (!same) throw new Error(`${bits} came back as ${back[bits]}`);
      });
    });

    /** The finite numbers of the type from 0 up, in whose list the index is the bits. */
    const finite = [...truth.subarray(0, infinity)];
    /** The bits of the nearest, ties to even, by search. */
    function nearest(value: number): number {
      const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
      const magnitude = Math.abs(value);
      let [low, high] = [0, infinity];
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (finite[middle]! <= magnitude) low = middle;
        else high = middle;
      }
      // infinity rounds as the power of two that would come after the largest number
      const next = finite[high] ?? 2 * finite[infinity - 1]! - finite[infinity - 2]!;
      const [down, up] = [magnitude - finite[low]!, next - magnitude];
      const bits = down < up || (down === up && low % 2 === 0) ? low : high;
      return sign | bits;
    }

    it('is the nearest to any float32, ties to even', () => {
      const scaled = fc
        .tuple(fc.double({min: 1, max: 2, noNaN: true}), fc.integer({min: -150, max: 127}))
        .map(([fraction, exponent]) => Math.fround(fraction * 2 ** exponent));
      const bits = fc
        .nat(0xffffffff)
        .map((word) => new Float32Array(Uint32Array.of(word).buffer)[0]!);
      fc.assert(
        fc.property(fc.oneof(scaled, bits, fc.float({noNaN: true})), (value) => {
          fc.pre(Number.isFinite(value));
          for (const x of [value, -value]) {
            expect(to(Float32Array.of(x))[0]).to.equal(nearest(x), String(x));
          }
        }),
        {numRuns: 5000},
      );
    });

    it('is the nearest around every halfway point', () => {
      const step = (value: number, by: number) => {
        const bits = new Uint32Array(Float32Array.of(value).buffer);
        bits[0]! += by;
        return new Float32Array(bits.buffer)[0]!;
      };
      for (let i = 0; i + 1 < finite.length; i++) {
        const half = (finite[i]! + finite[i + 1]!) / 2;
        if (half !== Math.fround(half)) continue; // not a float32: below its own subnormals
        const values = [half, step(half, 1), ...(half > 0 ? [step(half, -1)] : [])];
        const rounded = to(Float32Array.from(values));
        const expected = [i + (i % 2), i + 1, i].slice(0, values.length);
        if (expected.some((bits, j) => rounded[j] !== bits)) {
          throw new Error(`${values.join()} gave ${rounded.join()}, not ${expected.join()}`);
        }
      }
    });

    it('is infinite from halfway above the largest number on, and NaN of a NaN', () => {
      const largest = finite.at(-1)!;
      const half = largest + (largest - finite.at(-2)!) / 2;
      const below = new Float32Array(
        Uint32Array.of(new Uint32Array(Float32Array.of(half).buffer)[0]! - 1).buffer,
      )[0]!;
      const values = [largest, below, half, Infinity, -half, -Infinity];
      expect([...from(to(Float32Array.from(values)))]).to.deep.equal([
        largest,
        largest,
        Infinity,
        Infinity,
        -Infinity,
        -Infinity,
      ]);
      const nans = new Float32Array(
        Uint32Array.of(0x7fc00000, 0xffc00000, 0x7f800001, 0x7fffffff, 0xffffffff).buffer,
      );
      for (const bits of to(nans)) expect(isNaN16(bits, infinity)).to.equal(true);
    });
  });
}

describe('the numbers of all float16', () => {
  it('are found anew by each program', async () => {
    // the module as it is before its first use, when it has no table yet
    const path = `../../src/files/half_precision?${performance.now()}`;
    const {float16} = (await import(path)) as {float16: (half: number) => number};
    const [{truth}] = types as [HalfType];
    const other = all.find((bits) => !Object.is(float16(bits), truth[bits]));
    expect(other).to.equal(undefined);
    const again = (await import(`${path}again`)) as {fromFloat16: HalfType['from']};
    expect(again.fromFloat16(all)).to.deep.equal(truth);
  });
});
