import type * as tf from '@tensorflow/tfjs-core';
import type {OwLoreAdamAttrs, OwLoreAdamInputs, OwLoreAdamTogetherAttrs} from '../kernel_names';
import type {KernelGraphs} from './graphs';
import {nativeInputs, type NativeInputs, type NativeKernel} from './kernel';
import {nativeOf, NativeOps, type Native, type NodeBackend} from './native_ops';
import {changeTensors, readVariable} from './native_variables';

interface AdamArgs {
  inputs: OwLoreAdamInputs;
  attrs: OwLoreAdamAttrs;
  backend: NodeBackend;
}

/** OwLoreAdam: of a projected variable as a graph, of any other in place. */
export function createAdam(graphs: KernelGraphs): tf.KernelFunc {
  const adam = ({inputs, attrs, backend}: AdamArgs): tf.TensorInfo[] => {
    const {side} = attrs;
    if (!side) return adamInPlace({inputs, attrs, backend});
    const {clip, ...others} = nativeInputs(backend, inputs);
    const numbered = Object.entries(others).map(([name, x]) => [`${name}0`, x] as const);
    const given = {...Object.fromEntries(numbered), ...(clip && {clip})};
    return moveProjected(graphs, backend, given, {...attrs, updates: [{...attrs, side}]});
  };
  // It says which inputs and attributes it has; the registry does not ask.
  return adam as unknown as tf.KernelFunc;
}

/** OwLoreAdamTogether, as one graph: the start of a graph takes TensorFlow longer than any op in it. */
export function createAdamTogether(graphs: KernelGraphs): tf.KernelFunc {
  return ({inputs, attrs, backend}) => {
    const native = backend as NodeBackend;
    const given = nativeInputs(native, inputs);
    // The kernel's name says which attributes it has; tfjs types all alike.
    return moveProjected(graphs, native, given, attrs as unknown as OwLoreAdamTogetherAttrs);
  };
}

function moveProjected(
  graphs: KernelGraphs,
  backend: NodeBackend,
  inputs: NativeInputs,
  {beta1, beta2, updates}: OwLoreAdamTogetherAttrs,
): tf.TensorInfo[] {
  const ops = new NativeOps(backend);
  return ops.scope(() => {
    // Other numbers in each step, for which there is to be no other graph.
    const numbers = updates.flatMap(({rate, epsilon, decay}, i) => [
      [`rate${i}`, ops.scalar(rate)],
      [`epsilon${i}`, ops.scalar(epsilon)],
      ...(decay === 1 ? [] : [[`decay${i}`, ops.scalar(decay)]]),
    ]);
    const given = {...inputs, ...(Object.fromEntries(numbers) as NativeInputs)};
    const sides = updates.map(({side}) => side);
    const results = graphs.run(backend, adamInSubspaces, given, {beta1, beta2, sides});
    return results.map((x) => backend.createOutputTensor(x));
  });
}

type InSubspaceAttrs = Pick<OwLoreAdamTogetherAttrs, 'beta1' | 'beta2'>;

const adamInSubspaces: NativeKernel<InSubspaceAttrs & {sides: ReadonlyArray<'left' | 'right'>}> = (
  ops,
  inputs,
  {sides, ...attrs},
) =>
  sides.flatMap((side, i) => {
    const of = (name: string): Native | undefined => inputs[`${name}${i}`];
    const clip = inputs['clip'];
    const gradient = clip ? ops.mul(of('gradient')!, clip) : of('gradient')!;
    const average = (before: Native, x: Native, beta: number): Native =>
      ops.scope(() => ops.add(ops.mul(before, ops.scalar(beta)), ops.mul(x, ops.scalar(1 - beta))));
    const first = average(of('first')!, gradient, attrs.beta1);
    const second = average(of('second')!, ops.run('Square', [gradient]), attrs.beta2);
    const moved = ops.scope(() => {
      const scale = ops.add(ops.run('Sqrt', [second]), of('epsilon')!);
      const step = ops.div(ops.mul(first, of('rate')!), scale);
      const basis = of('basis')!;
      const change =
        side === 'left' ? ops.matMul(basis, step) : ops.matMul(step, basis, false, true);
      const [variable, decay] = [of('variable')!, of('decay')];
      return ops.sub(decay ? ops.mul(variable, decay) : variable, change);
    });
    return [moved, first, second];
  });

/** By TensorFlow's own op for it, which takes one pass. */
function adamInPlace({inputs, attrs, backend}: AdamArgs): tf.TensorInfo[] {
  const {variable, first, second, gradient, clip} = inputs;
  const ops = new NativeOps(backend);
  const native = (info: tf.TensorInfo): Native => nativeOf(backend, info);
  return ops.scope(() =>
    changeTensors(backend, ops, [variable, first, second], ([w, m, v]) => {
      const g = clip ? ops.mul(native(gradient), native(clip)) : native(gradient);
      shrink(ops, w!, attrs.decay);
      applyAdam(ops, [w!, m!, v!], g, attrs);
    }),
  );
}

/** w ← `decay`·w. */
function shrink(ops: NativeOps, variable: Native, decay: number): void {
  if (decay === 1) return;
  const lost = ops.scope(() => ops.mul(readVariable(ops, variable), ops.scalar(1 - decay)));
  ops.runAll('AssignSubVariableOp', [variable, lost], {dtype: ops.float32}, 0);
}

/** w ← w − `rate`·m/(√v + `epsilon`) with the moments m and v moved on by the gradient. */
function applyAdam(
  ops: NativeOps,
  variables: [w: Native, m: Native, v: Native],
  gradient: Native,
  {beta1, beta2, rate, epsilon}: OwLoreAdamAttrs,
): void {
  const [, m, v] = variables;
  makeUp(ops, m, beta1, () => gradient);
  makeUp(ops, v, beta2, () => ops.run('Square', [gradient]));
  // The bias corrections are in rate and epsilon already: to TensorFlow the powers of β are 0.
  const settings = [0, 0, rate, beta1, beta2, epsilon].map((value) => ops.scalar(value));
  const attributes = {T: ops.float32, use_locking: false, use_nesterov: false};
  ops.runAll('ResourceApplyAdam', [...variables, ...settings, gradient], attributes, 0);
}

/** How much 1 − β may be off, relatively: a few roundings of float32. */
const TOLERANCE = 3e-7;

/**
 * Readies an average a for TensorFlow's a + (1 − β)(x − a), so that β·a + (1 − β)·x comes of it. Its 1 − β is a float32, of a β
 * that is rounded already: for 0.999 it is off by 1.3e-5. What it will add too little of x is added beforehand. With β = 0
 * the way from a to x may be rounded by more than x is.
 */
function makeUp(ops: NativeOps, average: Native, beta: number, value: () => Native): void {
  const rounded = Math.fround(beta);
  const lacking = rounded - beta;
  ops.scope(() => {
    if (beta === 0) {
      ops.runAll('AssignVariableOp', [average, value()], {dtype: ops.float32}, 0);
    } else if (Math.abs(lacking) > TOLERANCE * (1 - beta)) {
      const inputs = [average, ops.scalar(-lacking / rounded), value()];
      const attributes = {T: ops.float32, use_locking: false};
      ops.runAll('ResourceApplyGradientDescent', inputs, attributes, 0); // a scaled subtraction
    }
  });
}
