import {expect} from 'chai';
import {attach, simdModule} from '../../../src/kernels/wasm/simd_module';
import {describeWasm} from './compare';
import {refusingAtOnce} from './refusing_engine';

interface Inside {
  asm?: object;
  wasmMemory?: WebAssembly.Memory;
  _malloc: () => number;
}

const backendWith = (wasm: Inside): object => ({wasm});
const memory = (shared: boolean): WebAssembly.Memory =>
  new WebAssembly.Memory({initial: 64, maximum: 65536, shared});

/** 2 · 3 by the module, at the start of the memory. */
function product(backend: object, {buffer}: WebAssembly.Memory): number {
  const numbers = new Float32Array(buffer);
  numbers.set([2, 3], 4);
  simdModule(backend)!.multiply({
    ...{rows: 1, columns: 1, inner: 1},
    ...{a: 16, aStep: 4, transposeA: false},
    ...{b: 20, bStep: 4, transposeB: true},
    ...{c: 24, cStep: 4, add: false},
  });
  return numbers[6]!;
}

/** A backend of one thread, and one of several, with their memories. */
function bothKinds(): Array<[object, WebAssembly.Memory]> {
  const [plain, shared] = [memory(false), memory(true)];
  return [
    [backendWith({asm: {memory: plain}, _malloc: () => 1024}), plain],
    [backendWith({asm: {}, wasmMemory: shared, _malloc: () => 1024}), shared],
  ];
}

describeWasm(
  'SIMD module on wasm',
  () => {
    it('runs over the memory of a backend of one thread, and of one of several, at once', () => {
      for (const [backend, itsMemory] of bothKinds()) {
        expect(attach(backend)).to.equal(undefined);
        expect(product(backend, itsMemory)).to.equal(6);
      }
    });

    it('does so later where the engine refuses to compile at once', async () => {
      for (const [backend, itsMemory] of bothKinds()) {
        let attached: Promise<void> | undefined;
        await refusingAtOnce(() => void (attached = attach(backend)));
        expect(simdModule(backend)).to.equal(undefined);
        await attached;
        expect(product(backend, itsMemory)).to.equal(6);
      }
    });

    it('does without where the memory cannot be reached', () => {
      const backend = backendWith({_malloc: () => 1024});
      expect(attach(backend)).to.equal(undefined);
      expect(simdModule(backend)).to.equal(undefined);
    });

    it('says so where the memory is full', () => {
      const backend = backendWith({asm: {memory: memory(false)}, _malloc: () => 0});
      expect(() => attach(backend)).to.throw(/memory of the wasm backend is full: no \d+ bytes/);
      expect(simdModule(backend)).to.equal(undefined);
    });
  },
  ['auto'],
);
