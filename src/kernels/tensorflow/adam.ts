import * as tf from '@tensorflow/tfjs-core';
import {SMALL_WEIGHT, UPDATED_TOGETHER} from '../capabilities';
import {
  OwLoreAdam,
  updateInputs,
  type OwLoreAdamAttrs,
  type OwLoreAdamInputs,
  type OwLoreUpdate,
} from '../kernel_names';
import type {KernelGraphs} from './graphs';
import type {KernelRunner, NativeKernel} from './kernel';
import {nativeOf, NativeOps, type Native, type NodeBackend} from './native_ops';
import {
  addToRows,
  changedInPlace,
  changesRows,
  changeTensors,
  endRows,
  readVariable,
} from './native_variables';

type Betas = Pick<OwLoreAdamAttrs, 'beta1' | 'beta2'>;

interface AdamArgs {
  inputs: OwLoreAdamInputs;
  attrs: OwLoreAdamAttrs;
  backend: NodeBackend;
}

/**
 * OwLoreAdam: updates projected and small variables by one graph, because starting an op takes TensorFlow longer than most of them run;
 * large ones, of which a graph would have new ones at a time, in place, one after the other.
 */
export function createAdam(graphs: KernelGraphs): tf.KernelFunc {
  const runTogether = graphs.runner(OwLoreAdam, adamTogether);
  const adam = (args: AdamArgs): tf.TensorInfo[] => {
    const {inputs, attrs, backend} = args;
    const {allFinite} = inputs;
    if (allFinite && !backend.readSync(allFinite.dataId)[0]) return unchanged(args);
    const isInGraph = ({side}: OwLoreUpdate, i: number): boolean =>
      tf.util.sizeFromShape(updateInputs(inputs, i).variable.shape) <=
      (side === undefined ? SMALL_WEIGHT : UPDATED_TOGETHER);
    const places = attrs.updates.flatMap((update, i) => (isInGraph(update, i) ? [i] : []));
    const together = moveTogether(runTogether, args, places);
    return attrs.updates.flatMap((update, i) => {
      if (isInGraph(update, i)) return together.splice(0, 3);
      const move = update.side === undefined ? moveInPlace : moveProjectedInPlace;
      return move(inputs, i, attrs, backend);
    });
  };
  // `adam` has its own types of inputs and attributes; the registry has none.
  return adam as unknown as tf.KernelFunc;
}

/** The variables and moments themselves. */
function unchanged({inputs, attrs, backend}: AdamArgs): tf.TensorInfo[] {
  return attrs.updates.flatMap((_, i) => {
    const {variable, first, second} = updateInputs(inputs, i);
    return [variable, first, second].map(({dataId, shape, dtype}) => {
      backend.incRef(dataId);
      return {dataId, shape, dtype};
    });
  });
}

function moveTogether(
  runTogether: KernelRunner<AdamTogether>,
  {inputs, attrs: {beta1, beta2, updates}, backend}: AdamArgs,
  places: readonly number[],
): tf.TensorInfo[] {
  if (places.length === 0) return [];
  const ops = new NativeOps(backend);
  return ops.scope(() => {
    const native = places.flatMap((place, i) => {
      const {basis, ...others} = updateInputs(inputs, place);
      return Object.entries({...others, ...(basis && {basis})}).map(
        ([name, info]) => [`${name}${i}`, nativeOf(backend, info)] as const,
      );
    });
    // Each is made once in a call: there may be more of them than scalars are kept.
    const scalars = new Map<number, Native>();
    const scalar = (value: number): Native => {
      const x = scalars.get(value) ?? ops.constant(Float32Array.of(value), []);
      scalars.set(value, x);
      return x;
    };
    // Passed as inputs: the numbers differ in each step, and must not lead to a new graph each time.
    const numbers = places.flatMap((place, i) => {
      const {rate, epsilon, decay} = updates[place]!;
      return Object.entries({rate, epsilon, ...(decay !== 1 && {decay})}).map(
        ([name, value]) => [`${name}${i}`, scalar(value)] as const,
      );
    });
    const given = Object.fromEntries([...native, ...numbers]);
    const clip = inputs.clip && {clip: nativeOf(backend, inputs.clip)};
    const sides = places.map((place) => updates[place]!.side);
    const attrs = {beta1, beta2, sides};
    const results = runTogether(backend, {...given, ...clip}, attrs);
    return results.map((x) => backend.createOutputTensor(x));
  });
}

type AdamTogether = Betas & {sides: ReadonlyArray<OwLoreUpdate['side']>};

const adamTogether: NativeKernel<AdamTogether> = (ops, inputs, {sides, ...attrs}) =>
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
      const [variable, decay] = [of('variable')!, of('decay')];
      return ops.sub(
        decay ? ops.mul(variable, decay) : variable,
        takenBack(ops, step, of('basis'), side),
      );
    });
    return [moved, first, second];
  });

/** Updates a variable in place by TensorFlow's own op for Adam, which takes one pass. */
function moveInPlace(
  inputs: OwLoreAdamInputs,
  i: number,
  {beta1, beta2, updates}: OwLoreAdamAttrs,
  backend: NodeBackend,
): tf.TensorInfo[] {
  const {variable, first, second, gradient} = updateInputs(inputs, i);
  const {clip} = inputs;
  const numbers = {beta1, beta2, ...updates[i]!};
  const ops = new NativeOps(backend);
  const native = (info: tf.TensorInfo): Native => nativeOf(backend, info);
  return ops.scope(() =>
    changeTensors(backend, ops, [variable, first, second], ([w, m, v]) => {
      const g = clip ? ops.mul(native(gradient), native(clip)) : native(gradient);
      shrink(ops, w!, numbers.decay);
      applyAdam(ops, [w!, m!, v!], g, numbers);
    }),
  );
}

/** Updates a projected variable in place. */
function moveProjectedInPlace(
  inputs: OwLoreAdamInputs,
  i: number,
  {beta1, beta2, updates}: OwLoreAdamAttrs,
  backend: NodeBackend,
): tf.TensorInfo[] {
  const {variable, first, second, gradient, basis} = updateInputs(inputs, i);
  const {clip} = inputs;
  const {side, ...numbers} = {beta1, beta2, ...updates[i]!};
  const ops = new NativeOps(backend);
  const native = (info: tf.TensorInfo): Native => nativeOf(backend, info);
  return ops.scope(() =>
    changeTensors(backend, ops, [variable, first, second], ([w, m, v]) => {
      const step = ops.scope(() => {
        const g = clip ? ops.mul(native(gradient), native(clip)) : native(gradient);
        // −N: the step of a weight that is 0 without it.
        return changedInPlace(
          backend,
          ops,
          () => ops.zeros(gradient.shape),
          (n) => applyAdam(ops, [n, m!, v!], g, numbers),
        );
      });
      shrink(ops, w!, numbers.decay);
      const p = native(basis!);
      if (side === 'left') addProduct(backend, ops, w!, p, step, false);
      else addProduct(backend, ops, w!, step, p, true);
    }),
  );
}

/**
 * w ← w + a·b, or a·bᵀ; by some rows at a time where TensorFlow can change rows of a variable in place, otherwise by a product that is as
 * large as w.
 */
function addProduct(
  backend: NodeBackend,
  ops: NativeOps,
  variable: Native,
  a: Native,
  b: Native,
  transposeB: boolean,
): void {
  const product = (rows: Native): Native => ops.matMul(rows, b, false, transposeB);
  if (!changesRows(backend, ops)) {
    ops.scope(() => {
      ops.runAll('AssignAddVariableOp', [variable, product(a)], {dtype: ops.float32}, 0);
    });
    return;
  }
  const [rows, inner] = a.shape as [number, number];
  const columns = b.shape[transposeB ? 0 : 1]!;
  const max = Math.max(1, Math.floor(UPDATED_TOGETHER / columns));
  try {
    for (let from = 0; from < rows; from += max) {
      const size = [Math.min(max, rows - from), inner];
      ops.scope(() => {
        addToRows(ops, variable, from, product(ops.slice(a, [from, 0], size)));
      });
    }
  } finally {
    endRows(ops, variable);
  }
}

/** A step in a subspace as that of the variable. */
function takenBack(
  ops: NativeOps,
  step: Native,
  basis: Native | undefined,
  side: OwLoreUpdate['side'],
): Native {
  if (!basis) return step;
  return side === 'left' ? ops.matMul(basis, step) : ops.matMul(step, basis, false, true);
}

/** w ← `decay`·w. */
function shrink(ops: NativeOps, variable: Native, decay: number): void {
  if (decay === 1) return;
  const lost = ops.scope(() => ops.mul(readVariable(ops, variable), ops.scalar(1 - decay)));
  ops.runAll('AssignSubVariableOp', [variable, lost], {dtype: ops.float32}, 0);
}

/**
 * w ← w − `rate`·m/(√v + `epsilon`), where the moments m and v are first updated by the gradient. TensorFlow computes 1 − β in
 * float32 from a rounded β, 1.3e-5 too little for 0.999, and so keeps both moments times a constant, of which rate and epsilon
 * are freed here: w moves as far as with exact moments.
 */
function applyAdam(
  ops: NativeOps,
  variables: [w: Native, m: Native, v: Native],
  gradient: Native,
  {beta1, beta2, rate, epsilon}: Betas & OwLoreUpdate,
): void {
  const [, m, v] = variables;
  if (beta1 === 0) assign(ops, m, () => gradient);
  if (beta2 === 0) assign(ops, v, () => ops.run('Square', [gradient]));
  const root = Math.sqrt(momentFactor(beta2));
  const exactRate = (rate * root) / momentFactor(beta1);
  // The bias corrections are already in rate and epsilon, so TensorFlow gets 0 for the powers of β.
  const settings = [0, 0, exactRate, beta1, beta2, epsilon * root].map((value) =>
    ops.scalar(value),
  );
  const attributes = {T: ops.float32, use_locking: false, use_nesterov: false};
  ops.runAll('ResourceApplyAdam', [...variables, ...settings, gradient], attributes, 0);
}

/**
 * What TensorFlow's op for Adam multiplies a moment by: a + (1 − β)(x − a) forgets by the rounded β, as float32 arithmetic does
 * everywhere, and takes of x what float32 makes of 1 less that. A moment whose β is 1 stays as it is.
 */
export function momentFactor(beta: number): number {
  const taken = Math.fround(1 - Math.fround(beta));
  return taken === 0 ? 1 : taken / (1 - beta);
}

/** Sets a moment that has no memory: in a + 1·(x − a), the rounding of x − a may be larger than that of x. */
function assign(ops: NativeOps, moment: Native, value: () => Native): void {
  ops.scope(() => {
    ops.runAll('AssignVariableOp', [moment, value()], {dtype: ops.float32}, 0);
  });
}
