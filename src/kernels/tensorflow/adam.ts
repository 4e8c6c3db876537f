import type * as tf from '@tensorflow/tfjs-core';
import type {OwLoreAdamAttrs, OwLoreAdamInputs} from '../kernel_names';
import type {KernelGraphs} from './graphs';
import {nativeInputs, type NativeKernel} from './kernel';
import {nativeOf, NativeOps, type Native, type NodeBackend} from './native_ops';
import {changeTensors, readVariable} from './native_variables';

interface AdamArgs {
  inputs: OwLoreAdamInputs;
  attrs: OwLoreAdamAttrs;
  backend: NodeBackend;
}

/** OwLoreAdam: of a projected variable as a graph, of any other in place. */
export function createAdam(graphs: KernelGraphs): tf.KernelFunc {
  const adam = (args: AdamArgs): tf.TensorInfo[] =>
    args.inputs.basis ? projectedAdam(graphs, args) : adamInPlace(args);
  // It says which inputs and attributes it has; the registry does not ask.
  return adam as unknown as tf.KernelFunc;
}

function projectedAdam(graphs: KernelGraphs, {inputs, attrs, backend}: AdamArgs): tf.TensorInfo[] {
  const ops = new NativeOps(backend);
  return ops.scope(() => {
    const {rate, epsilon, decay, beta1, beta2, side} = attrs;
    const given = {
      ...nativeInputs(backend, inputs),
      // Other numbers in each step, for which there is to be no other graph.
      ...{rate: ops.scalar(rate), epsilon: ops.scalar(epsilon)},
      ...(decay !== 1 && {decay: ops.scalar(decay)}),
    };
    const results = graphs.run(backend, adamInSubspace, given, {beta1, beta2, side});
    return results.map((x) => backend.createOutputTensor(x));
  });
}

/** m and v moved on by R, and `decay`·w less the back-projected step. */
const adamInSubspace: NativeKernel<Pick<OwLoreAdamAttrs, 'beta1' | 'beta2' | 'side'>> = (
  ops,
  inputs,
  {beta1, beta2, side},
) => {
  const {variable, basis, clip, decay} = inputs;
  const gradient = clip ? ops.mul(inputs['gradient']!, clip) : inputs['gradient']!;
  const average = (before: Native, x: Native, beta: number): Native =>
    ops.scope(() => ops.add(ops.mul(before, ops.scalar(beta)), ops.mul(x, ops.scalar(1 - beta))));
  const first = average(inputs['first']!, gradient, beta1);
  const second = average(inputs['second']!, ops.run('Square', [gradient]), beta2);
  const moved = ops.scope(() => {
    const scale = ops.add(ops.run('Sqrt', [second]), inputs['epsilon']!);
    const step = ops.div(ops.mul(first, inputs['rate']!), scale);
    const change =
      side === 'left' ? ops.matMul(basis!, step) : ops.matMul(step, basis!, false, true);
    return ops.sub(decay ? ops.mul(variable!, decay) : variable!, change);
  });
  return [moved, first, second];
};

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
