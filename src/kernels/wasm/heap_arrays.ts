/**
 * Arrays over a memory that is shared. On such memory JavaScript's `set` and `fill` work number by number, two to sixteen times slower
 * than on other memory; here the module does them.
 */
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import {replaceMethods} from '../../tfjs/methods';
import type {SimdModule} from './binaries';

/** Up to so many numbers are copied one by one, and from so many on by the module; between, eight bytes at a time if places allow it. */
const [FEW, MANY] = [64, 1024];

/** Has the arrays by which kernels of tfjs and of this library reach the memory of `backend` copy and fill by the module. */
export function replaceHeapArrays(backend: BackendWasm, module: SimdModule): void {
  const floats = arrayOf(Float32Array, module);
  const ints = arrayOf(Int32Array, module);
  const {typedArrayFromHeap} = backend;
  replaceMethods(backend, {
    typedArrayFromHeap(info) {
      const array = typedArrayFromHeap.call(backend, info);
      const {buffer, byteOffset, length} = array;
      if (length < MANY) return array;
      if (array instanceof Float32Array) return new floats(buffer, byteOffset, length);
      if (array instanceof Int32Array) return new ints(buffer, byteOffset, length);
      return array;
    },
  });
}

function arrayOf<Base extends typeof Float32Array | typeof Int32Array>(
  base: Base,
  module: SimdModule,
): Base {
  const bits = new Int32Array(1);
  const bitsOf = new base(bits.buffer);
  return class extends (base as typeof Float32Array) {
    /** What `subarray` and `slice` return: a part is read, or has an array of its own. */
    static get [Symbol.species](): typeof Float32Array {
      return base as typeof Float32Array;
    }

    override set(source: ArrayLike<number>, at = 0): void {
      const {length: size} = source;
      const {buffer, byteOffset: from} = source as Float32Array;
      const isHere = buffer === this.buffer;
      const isWithin = at >= 0 && at + size <= this.length;
      const to = this.byteOffset + 4 * at;
      if (isWithin && size < FEW && (!isHere || to <= from || to >= from + 4 * size)) {
        for (let i = 0; i < size; i++) this[at + i] = source[i]!;
      } else if (!isWithin || !isHere) {
        super.set(source, at);
      } else if ((size >= MANY || (from ^ to) % 8 !== 0) && source instanceof base) {
        module.copy({from, size, to});
      } else if (size >= MANY && source instanceof Int32Array) {
        module.toFloats({x: from, size, y: to});
      } else {
        super.set(source, at);
      }
    }

    override fill(value: number, from = 0, to = this.length): this {
      if (from !== 0 || to !== this.length || to < MANY) return super.fill(value, from, to);
      bitsOf[0] = value;
      module.fill({y: this.byteOffset, size: to, bits: bits[0]!});
      return this;
    }
  } as unknown as Base;
}
