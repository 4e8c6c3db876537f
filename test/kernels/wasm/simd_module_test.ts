import {readdirSync, readFileSync} from 'node:fs';
import {runInNewContext} from 'node:vm';
import {expect} from 'chai';
import ts from 'typescript';
import {relaxed, simd, withNamedArguments} from '../../../src/kernels/wasm/binaries';
import {attach, simdModule, type SimdModule} from '../../../src/kernels/wasm/simd_module';
import {describeWasm} from './compare';
import {refusingAtOnce} from './refusing_engine';

interface Inside {
  asm?: object;
  wasmMemory?: WebAssembly.Memory;
  _malloc: () => number;
}

const backendWith = (wasm: Inside): object => ({
  wasm,
  dispose: () => undefined,
  typedArrayFromHeap: () => new Float32Array(),
});
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

/** Node 20 has relaxed SIMD behind a flag, which this script of package.json gives it; others do without if they have to. */
const needsRelaxed = process.env['npm_lifecycle_event'] === 'test:relaxed-simd';

/**
 * Whether the module's products round once for a multiplication and an addition: (1 + 2⁻¹²)² is 1 + 2⁻¹¹ + 2⁻²⁴, whose last term is lost
 * if the product is rounded before 1 + 2⁻¹¹ is taken from it.
 */
function isFused(backend: object, {buffer}: WebAssembly.Memory): boolean {
  const numbers = new Float32Array(buffer);
  const [before, factor] = [1 + 2 ** -11, 1 + 2 ** -12];
  numbers.set([-1, factor], 4);
  numbers.set([...Array<number>(4).fill(before), ...Array<number>(4).fill(factor)], 8);
  simdModule(backend)!.multiply({
    ...{rows: 1, columns: 4, inner: 2},
    ...{a: 16, aStep: 8, transposeA: false},
    ...{b: 32, bStep: 16, transposeB: false},
    ...{c: 64, cStep: 16, add: false},
  });
  const results = [...numbers.subarray(16, 20)];
  expect(results).to.deep.equal(Array(4).fill(results[0]));
  expect(results[0]).to.be.oneOf([0, 2 ** -24]);
  return results[0] !== 0;
}

/** A backend of one thread, and one of several, with their memories. */
function bothKinds(): Array<[object, WebAssembly.Memory]> {
  const [plain, shared] = [memory(false), memory(true)];
  return [
    [backendWith({asm: {memory: plain}, _malloc: () => 1024}), plain],
    [backendWith({asm: {}, wasmMemory: shared, _malloc: () => 1024}), shared],
  ];
}

/** What `npm run typecheck` refuses: a call that does not name each argument, and nothing else. Never run. */
export function wrongCalls(module: SimdModule): void {
  module.scale({x: 0, size: 1, factor: 1, y: 0});
  // @ts-expect-error -- one argument too few
  module.scale({x: 0, size: 1, factor: 1});
  // @ts-expect-error -- one that there is not
  module.scale({x: 0, size: 1, factor: 1, y: 0, z: 0});
  // @ts-expect-error -- by position
  module.scale(0, 1, 1, 0);
  // @ts-expect-error -- a number in the place of a flag
  module.countAbove({weight: 0, norm: 0, rows: 1, columns: 1, isWide: 1, threshold: 0});
}

/** The parameters of each function that the sources of the module export, in their order. */
function parametersInSources(): Map<string, string[]> {
  const folder = new URL('../../../src/kernels/wasm/assembly/', import.meta.url);
  const parameters = new Map<string, string[]>();
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.ts'))) {
    const text = readFileSync(new URL(file, folder), 'utf8');
    ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true).forEachChild((node) => {
      if (!ts.isFunctionDeclaration(node)) return;
      parameters.set(
        node.name!.text,
        node.parameters.map(({name}) => name.getText()),
      );
    });
  }
  return parameters;
}

describe('interface of the SIMD module', () => {
  for (const [title, {base64}] of Object.entries({simd, relaxed})) {
    it(`has all that the module exports, with the parameters of its sources: ${title}`, function () {
      const bytes = Buffer.from(base64, 'base64');
      // Node 20 has relaxed SIMD behind a flag.
      if (!WebAssembly.validate(bytes)) this.skip();
      const {exports} = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
        env: {memory: memory(false)},
      });
      const inSources = parametersInSources();
      const echo = Object.fromEntries(
        Object.entries(exports).map(([name, value]) => [
          name,
          typeof value === 'function' ? (...values: unknown[]) => values : value,
        ]),
      ) as WebAssembly.Exports;
      const named = withNamedArguments(echo);
      expect(named).to.have.all.keys(Object.keys(exports));
      // Each argument is its own name.
      const names = new Proxy({}, {get: (_, name) => name});
      for (const [name, value] of Object.entries(exports)) {
        if (typeof value !== 'function') continue;
        const passed = (named as unknown as Record<string, (of: object) => string[]>)[name]!(names);
        expect(passed, name).to.deep.equal(inSources.get(name));
        expect(passed, name).to.have.length(value.length);
      }
    });
  }
});

describeWasm(
  'SIMD module on wasm',
  () => {
    it('runs over the memory of a backend of one thread, and of one of several, at once', () => {
      for (const [backend, itsMemory] of bothKinds()) {
        expect(attach(backend)).to.equal(undefined);
        expect(product(backend, itsMemory)).to.equal(6);
      }
    });

    it('does so where the global ArrayBuffer is that of another realm, as in Jest', () => {
      const {ArrayBuffer} = globalThis;
      for (const [backend, itsMemory] of bothKinds()) {
        globalThis.ArrayBuffer = runInNewContext('ArrayBuffer') as ArrayBufferConstructor;
        try {
          expect(attach(backend)).to.equal(undefined);
        } finally {
          globalThis.ArrayBuffer = ArrayBuffer;
        }
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

    it('rounds once in a multiplication and addition if it is the one with relaxed SIMD', () => {
      const isKnown = WebAssembly.validate(Buffer.from(relaxed.base64, 'base64'));
      for (const [backend, itsMemory] of bothKinds()) {
        expect(attach(backend)).to.equal(undefined);
        const roundsOnce = isFused(backend, itsMemory);
        if (needsRelaxed) expect(roundsOnce).to.equal(true);
        if (!isKnown) expect(roundsOnce).to.equal(false);
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
