import {expect} from 'chai';
import fc from 'fast-check';
import * as tf from '@tensorflow/tfjs-core';
import {contracts} from '../../src/kernels/contracts';
import * as own from '../../src/kernels/kernel_names';
import * as llama from '../../src/kernels/llama/kernel_names';
import {runKernel} from '../../src/kernels/run_kernel';
import * as wasm from '../../src/kernels/wasm';
import {backends, defaultBackend} from '../support/backends';
import {fuzz} from '../support/fuzz';
import {held, Sentinels} from '../support/sentinels';
import {kernelCases, tensorOf, type Given, type KernelCase} from './kernel_cases';
import {kernelSets, registeredKernels} from './kernel_sets';

/** Axes of which each size is right, and dtypes that are right as well, for the cases' inputs. All else is refused. */
const free: Readonly<Record<string, Record<string, ReadonlyArray<number | tf.DataType>>>> = {
  [own.OwLoreProject]: {gradient: [1], basis: [1]},
  [own.OwLoreRefresh]: {gradient0: [1], gradient1: [0], random1: [1]},
  [own.OwLoreSquaredNorm]: {x: [0, 1]},
  [own.OwLoreOrthonormalize]: {matrix: [0, 1]},
  [own.OwLoreNearlyOrthonormalize]: {matrix: [0, 1]},
  [own.OwLoreLeftSingularVectors]: {matrix: [0, 1]},
  [own.OwLoreMagnitudeSums]: {weight: [1]},
  [own.OwLorePackBfloat16]: {x: [0, 1]},
  [llama.OwLorePackedMatMul]: {x: [0]},
  [llama.OwLoreUnpackWindow]: {packed: [0]},
  [llama.OwLoreUnpackRows]: {packed: [0], ids: [0, 1]},
  [llama.OwLoreRMSNorm]: {x: [0, 1]},
  [llama.OwLoreCrossEntropy]: {logits: [1]},
  [llama.OwLoreCrossEntropyGrad]: {logits: [1]},
  [llama.OwLoreAttentionSublayer]: {x: [0]},
  [llama.OwLoreMlpSublayer]: {x: [0, 1]},
  [llama.OwLoreBlock]: {x: [0]},
  [tf.Add]: {a: [], b: []},
  [tf.BatchMatMul]: {a: [1], b: [1]},
  [tf._FusedMatMul]: {a: [0, 1], b: [0]},
  [own.OwLoreAddRows]: {x: [0]},
  [tf.UnsortedSegmentSum]: {x: [1, 'int32', 'bool']},
  [tf.Concat]: {0: [1, 'int32', 'bool'], 1: [1, 'int32', 'bool']},
  [tf.GatherV2]: {x: [0, 1, 'int32', 'bool'], indices: [0]},
  [tf.Slice]: {x: [0, 1, 'int32', 'bool', 'string']},
  [tf.SplitV]: {x: [0, 'int32', 'bool', 'string']},
  [tf.Unpack]: {value: [0, 1, 'int32', 'bool', 'string']},
  [tf.Identity]: {x: [0, 1, 'int32', 'bool', 'string']},
  [tf.Cast]: {x: [0, 1, 'int32', 'bool']},
  [tf.DepthwiseConv2dNativeBackpropInput]: {filter: [0, 1]},
  // which the kernel does not read
  [tf.MaxPoolGrad]: {output: [0, 1, 2, 3, 'int32', 'bool', 'string']},
};

/** What is refused in other words than a contract's: by tfjs as without the kernel, or for its numbers, which a contract does not see. */
const otherRefusals: Readonly<Record<string, RegExp>> = {
  [tf.Add]: /^Operands could not be broadcast/,
  [tf.BatchMatMul]:
    /^Operands could not be broadcast|^BatchMatMul for non non-float32|^Invalid TF_Status: 3\n/,
  [tf._FusedMatMul]: /^Operands could not be broadcast|MatMul for non non-float32/,
  [tf.GatherV2]: /^GatherV2: the index value -?\d+ is not in|^x\.shape\[\d\]: \d+ should be equal/,
  [llama.OwLoreUnpackRows]:
    /^Invalid TF_Status: 3\nMessage: indices(\[[\d,]+\])? = -?\d+ is not in/,
  // as many segments as no memory holds
  [tf.UnsortedSegmentSum]: /^The memory of the wasm backend is|^Invalid typed array length/,
};

/** Cases of each kernel in the usual run. */
const runs: Readonly<Record<string, number>> = {
  ...{cpu: 200, wasm: 60, 'wasm, composed': 40, tensorflow: 20, webgpu: 5},
};

/** One thing that is wrong with a call, or happens to be right. The numbers choose among what there is. */
type Change =
  | {kind: 'size'; input: number; axis: number; size: number}
  | {kind: 'shape'; input: number; shape: number[]}
  | {kind: 'reversed'; input: number}
  | {kind: 'missing'; input: number}
  | {kind: 'disposed'; input: number}
  | {kind: 'dtype'; input: number; dtype: tf.DataType}
  | {kind: 'other'; input: number; by: number}
  | {kind: 'ids'; input: number; ids: number[]}
  | {kind: 'attr'; attr: number; value: unknown}
  | {kind: 'item'; attr: number; item: number; value: unknown};

const input = fc.nat(99);
const numbers = [NaN, Infinity, -Infinity, -1, 0, 0.5, 1, 3, 100, 2 ** 30, 2 ** 31];
const values = fc.constantFrom<unknown>(
  ...numbers,
  ...['x', 'left', 'same', null, undefined, true, false],
  ...[[], [1], [0, 0], [NaN, 1], [2, 2, 2, 2], {}],
);
const changes: fc.Arbitrary<Change> = fc.oneof(
  fc.record({
    kind: fc.constant('size' as const),
    ...{input, axis: fc.nat(5), size: fc.constantFrom(0, 1, 2, 3, 4, 5, 8, 17, 1000)},
  }),
  fc.record({
    kind: fc.constant('shape' as const),
    ...{input, shape: fc.array(fc.constantFrom(0, 1, 2, 3, 5, 8), {maxLength: 5})},
  }),
  fc.record({kind: fc.constant('reversed' as const), input}),
  fc.record({kind: fc.constant('missing' as const), input}),
  fc.record({kind: fc.constant('disposed' as const), input}),
  fc.record({
    kind: fc.constant('dtype' as const),
    ...{input, dtype: fc.constantFrom<tf.DataType>('float32', 'int32', 'bool', 'string')},
  }),
  fc.record({kind: fc.constant('other' as const), input, by: input}),
  fc.record({
    kind: fc.constant('ids' as const),
    ...{input, ids: fc.array(fc.constantFrom(-(2 ** 31), -1, 0, 3, 4, 7, 2 ** 31 - 1))},
  }),
  fc.record({kind: fc.constant('attr' as const), attr: fc.nat(9), value: values}),
  fc.record({
    kind: fc.constant('item' as const),
    ...{attr: fc.nat(9), item: fc.nat(3), value: values},
  }),
);

/** A call that may be wrong. */
interface Call extends KernelCase {
  inputs: Record<string, Given & {isDisposed?: boolean}>;
}

function changed({inputs, attrs}: KernelCase, all: readonly Change[]): Call {
  const call: Call = {inputs: {...inputs}, attrs: {...attrs}};
  for (const change of all) {
    if (change.kind === 'attr' || change.kind === 'item') {
      const names = Object.keys(call.attrs);
      const name = names[change.attr % names.length];
      if (name !== undefined) call.attrs[name] = changedAttr(call.attrs[name], change);
      continue;
    }
    const names = Object.keys(call.inputs);
    const name = names[change.input % names.length];
    if (name === undefined) continue;
    const given = call.inputs[name]!;
    const {shape} = given;
    const next = (part: Partial<Call['inputs'][string]>): void => {
      call.inputs[name] = {...given, ...part};
    };
    if (change.kind === 'size') {
      next({
        shape: shape.map((size, i) => (i === change.axis % shape.length ? change.size : size)),
      });
    } else if (change.kind === 'shape') next({shape: change.shape});
    else if (change.kind === 'reversed') next({shape: [...shape].reverse()});
    else if (change.kind === 'disposed') next({isDisposed: true});
    else if (change.kind === 'dtype') next({dtype: change.dtype});
    else if (change.kind === 'ids') next({ids: change.ids});
    else if (change.kind === 'missing') Reflect.deleteProperty(call.inputs, name);
    else call.inputs[name] = call.inputs[names[change.by % names.length]!]!;
  }
  return call;
}

function changedAttr(old: unknown, change: Change & {kind: 'attr' | 'item'}): unknown {
  if (change.kind === 'attr') return change.value;
  if (!Array.isArray(old)) return old;
  return old.map((value: unknown, i) => (i === change.item % old.length ? change.value : value));
}

function describeCall(name: string, call: Call): string {
  const asText = (_: string, value: unknown): unknown =>
    typeof value === 'number' || value === undefined ? String(value) : value;
  return `${name} ${JSON.stringify(call, asText)}`;
}

/** Calls a kernel, and looks that nothing but its results is there afterwards. */
async function callSafely(name: string, call: Call, sentinels: Sentinels): Promise<Error | null> {
  const before = held();
  let error: Error | null = null;
  const inputs = Object.entries(call.inputs).map(([key, given]) => [key, tensorOf(given)] as const);
  for (const [key, tensor] of inputs) if (call.inputs[key]!.isDisposed) tensor.dispose();
  try {
    const named = Object.fromEntries(inputs);
    const results = runKernel(name, named, call.attrs) ?? [];
    // Each result has the numbers that its shape says.
    for (const result of results) {
      if (result.dtype === 'string') continue;
      expect((await result.data()).length, 'numbers in a result').to.equal(result.size);
    }
    tf.dispose(results);
  } catch (reason) {
    error = reason as Error;
  }
  for (const [, tensor] of inputs) tensor.dispose();
  const what = `${describeCall(name, call)}: ${error?.message}`;
  await sentinels.expectUntouched(what);
  expect(held(), what).to.deep.equal(before);
  return error;
}

/** A kernel has not done something half and failed then. */
function expectRefusal(name: string, backend: string, error: Error, what: string): void {
  if (otherRefusals[name]?.test(error.message)) return;
  expect(error.message, what).to.satisfy((message: string) =>
    message.startsWith(`${name} on ${backend}: `),
  );
}

/** Each axis one longer, and each other dtype. */
function single(given: Given): Array<{what: number | tf.DataType; given: Given}> {
  const {shape, dtype: right = 'float32'} = given;
  const dtypes = (['float32', 'int32', 'bool', 'string'] as const).filter((x) => x !== right);
  return [
    ...shape.map((_, axis) => ({
      what: axis,
      given: {...given, shape: shape.map((size, i) => (i === axis ? size + 1 : size))},
    })),
    ...dtypes.map((dtype) => ({what: dtype, given: {...given, dtype}})),
  ];
}

for (const {title, backend, kernels} of kernelSets) {
  (backends.includes(backend) ? describe : describe.skip)(`wrong arguments [${title}]`, () => {
    let sentinels: Sentinels;
    let registered: string[];
    const cases = kernelCases(backend);
    before(async () => {
      await tf.setBackend(backend);
      registered = await registeredKernels(backend, kernels);
    });
    after(async () => {
      kernels.uninstallKernels();
      if (backend === 'wasm') await wasm.installKernels(); // the tests' usual state
      await tf.setBackend(defaultBackend);
    });

    it('there is a case of every kernel that is registered, and it runs', async () => {
      expect(registered).not.to.deep.equal([]);
      expect(Object.keys(cases)).to.include.members(registered);
      expect(Object.keys(cases)).to.have.members(Object.keys(contracts));
      sentinels = new Sentinels(backend === 'webgpu' ? 8 : 80);
      for (const name of registered) {
        const error = await callSafely(name, cases[name]!, sentinels);
        if (error) throw error;
      }
      sentinels.dispose();
    });

    it('a kernel refuses an axis that is one too long, and a wrong dtype', async () => {
      for (const name of registered) {
        sentinels = new Sentinels(backend === 'webgpu' ? 2 : 20);
        const {inputs, attrs} = cases[name]!;
        for (const [input, right] of Object.entries(inputs)) {
          for (const {what, given} of single(right)) {
            const call = {inputs: {...inputs, [input]: given}, attrs};
            const text = `${input}, ${what}: ${describeCall(name, call)}`;
            const error = await callSafely(name, call, sentinels);
            if (free[name]?.[input]?.includes(what)) expect(error, text).to.equal(null);
            else {
              expect(error, text).not.to.equal(null);
              expectRefusal(name, backend, error!, text);
            }
          }
        }
        sentinels.dispose();
      }
    });

    it('a kernel of this library refuses an input that it knows nothing of', async () => {
      for (const name of registered.filter((name) => name.startsWith('OwLore'))) {
        sentinels = new Sentinels(2);
        const {inputs, attrs} = cases[name]!;
        const call = {inputs: {...inputs, qNorm: {shape: [4]}}, attrs};
        const error = await callSafely(name, call, sentinels);
        expect(error?.message).to.equal(
          `${name} on ${backend}: input 'qNorm' is none of its inputs`,
        );
        sentinels.dispose();
      }
    });

    it('a kernel refuses sizes that wrap around in 32 bits', async () => {
      const huge = {
        [tf.Conv2DBackpropFilter]: {filterShape: [2 ** 31, 3, 3, 2], pad: 'same'},
        [tf.DepthwiseConv2dNativeBackpropFilter]: {filterShape: [2 ** 31, 3, 3, 2], pad: 'same'},
        [tf.MaxPoolGrad]: {filterSize: [2 ** 30, 2 ** 30], pad: 'same'},
      };
      for (const [name, attrs] of Object.entries(huge)) {
        if (!registered.includes(name)) continue;
        sentinels = new Sentinels(80);
        const call = {...cases[name]!, attrs: {...cases[name]!.attrs, ...attrs}};
        const error = await callSafely(name, call, sentinels);
        expect(error?.message).to.match(/is too large/);
        sentinels.dispose();
      }
    });

    it('a kernel refuses what is wrong and writes nowhere else', async () => {
      for (const name of registered) {
        sentinels = new Sentinels(backend === 'webgpu' ? 8 : 80);
        await fc.assert(
          fc.asyncProperty(fc.array(changes, {minLength: 1, maxLength: 3}), async (all) => {
            const call = changed(cases[name]!, all);
            const error = await callSafely(name, call, sentinels);
            // Not what an engine says of itself when it is given what it cannot read, and no trap of a module.
            if (error) expectRefusal(name, backend, error, describeCall(name, call));
          }),
          fuzz(runs[title]!),
        );
        sentinels.dispose();
      }
    }).timeout(0);
  });
}
