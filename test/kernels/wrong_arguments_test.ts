import {expect} from 'chai';
import fc from 'fast-check';
import * as tf from '@tensorflow/tfjs-core';
import {contracts} from '../../src/kernels/contracts';
import * as llama from '../../src/kernels/llama_kernel_names';
import {runKernel} from '../../src/kernels/run_kernel';
import * as wasm from '../../src/kernels/wasm';
import {backends, defaultBackend} from '../support/backends';
import {fuzz} from '../support/fuzz';
import {held, Sentinels} from '../support/sentinels';
import {kernelCases, tensorOf, type Given, type KernelCase} from './kernel_cases';
import {kernelSets, registeredKernels} from './kernel_sets';

const llamaNames = Object.values(llama);

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

    it('a kernel of LLaMA refuses an input that it knows nothing of', async () => {
      for (const name of registered.filter((name) => (llamaNames as string[]).includes(name))) {
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
            // Not what an engine says of itself when it is given what it cannot read.
            if (error) expect(error, describeCall(name, call)).not.to.be.instanceOf(TypeError);
          }),
          fuzz(runs[title]!),
        );
        sentinels.dispose();
      }
    }).timeout(0);
  });
}
