import {readFileSync} from 'node:fs';
import {expect} from 'chai';
import {shareMemory, sharingRefusal, stopSharing} from '../../../src/kernels/wasm/shared_memory';
import {setThreads} from '../../../src/kernels/wasm/thread_count';

/** tfjs's binary with SIMD, which asks for a memory of its own. */
const tfjs = readFileSync('node_modules/@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm'); // prettier-ignore

/** What Emscripten gives it. */
const none = (): number => 0;
const imports = {
  env: {
    ...{abort: none, emscripten_memcpy_big: none, emscripten_resize_heap: none},
    emscripten_get_heap_max: none,
  },
  wasi_snapshot_preview1: {fd_close: none, fd_write: none, fd_seek: none},
};

/** A module with a memory of its own, `m`. */
// prettier-ignore
const other = Uint8Array.of(
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
  5, 4, 1, 1, 1, 2,
  7, 5, 1, 1, 0x6d, 2, 0,
);

const isShared = ({instance}: WebAssembly.WebAssemblyInstantiatedSource): boolean =>
  Object.values(instance.exports).some(
    (value) => value instanceof WebAssembly.Memory && !(value.buffer instanceof ArrayBuffer),
  );

describe('shareMemory', () => {
  let instantiate: typeof WebAssembly.instantiate;
  beforeEach(() => {
    stopSharing(); // for a backend that is made later
    ({instantiate} = WebAssembly);
    setThreads(2);
    shareMemory();
  });
  afterEach(() => {
    stopSharing();
    setThreads(1);
    expect(WebAssembly.instantiate).to.equal(instantiate);
    shareMemory();
  });

  it("makes the memory of tfjs's binary one that workers can share", async () => {
    for (const bytes of [tfjs, Uint8Array.from(tfjs).buffer])
      expect(isShared(await WebAssembly.instantiate(bytes, imports))).to.equal(true);
    // what was given is as it was
    expect(isShared(await instantiate(tfjs, imports))).to.equal(false);
  });

  it('leaves alone all other modules, and all where one thread computes', async () => {
    expect(isShared(await WebAssembly.instantiate(other, imports))).to.equal(false);
    expect(isShared(await WebAssembly.instantiate(other))).to.equal(false);
    const module = await WebAssembly.compile(other);
    expect(await WebAssembly.instantiate(module)).to.be.instanceOf(WebAssembly.Instance);
    setThreads(1);
    expect(isShared(await WebAssembly.instantiate(tfjs, imports))).to.equal(false);
  });

  it('takes the binary as it is, and tells why, where there is no room for shared memory', async () => {
    stopSharing();
    const refusing = async (bytes: BufferSource, given: WebAssembly.Imports): Promise<unknown> => {
      const made = await instantiate(bytes, given);
      if (isShared(made)) throw new RangeError('Out of memory');
      return made;
    };
    Object.assign(WebAssembly, {instantiate: refusing});
    try {
      shareMemory();
      expect(isShared(await WebAssembly.instantiate(tfjs, imports))).to.equal(false);
      expect(sharingRefusal()).to.equal('no shared memory of 4 GB of addresses (Out of memory)');
      stopSharing();
      expect(WebAssembly.instantiate).to.equal(refusing);
    } finally {
      Object.assign(WebAssembly, {instantiate});
    }
  });
});

describe('setThreads', () => {
  it('takes a number of threads', () => {
    for (const wrong of [0, -1, 1.5, 65, '2', NaN, undefined]) {
      expect(() => setThreads(wrong as number)).to.throw(/^setThreads: threads must be an integer/);
    }
  });
});
